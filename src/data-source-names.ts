import type { ModulesContainer } from '@nestjs/core';

const SHUTDOWN_HOOKS = 'DataSourceLifecycle';

/** The token of the provider that closes a data source with its app. Each root module has one. */
export function shutdownHooksToken(name: string): string {
  return `${name}${SHUTDOWN_HOOKS}`;
}

/** The names of the data sources of an app's root modules. Their providers need not have been created. */
export function dataSourceNames(modules: ModulesContainer): string[] {
  const tokens = [...modules.values()].flatMap((module) =>
    module.isGlobal ? [...module.providers.keys()] : [],
  );
  const hooks = tokens.filter((token) => typeof token === 'string' && token.endsWith(SHUTDOWN_HOOKS));
  return hooks.map((token) => String(token).slice(0, -SHUTDOWN_HOOKS.length));
}
