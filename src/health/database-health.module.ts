import { forwardRef, Module } from '@nestjs/common';
import type { DynamicModule, ForwardReference } from '@nestjs/common';
import { validateTimeout } from './database-health.indicator.js';
import type { DatabasePingOptions } from './database-health.indicator.js';
import { OnDemand } from './on-demand.js';

/** The health route, and what it checks. */
export interface DatabaseHealthOptions extends DatabasePingOptions {
  /** Path of the route. `false`: no route, only the indicator. @defaultValue 'health/db' */
  path?: string | false;
  /** Key in the result of Terminus. @defaultValue 'db' */
  key?: string;
}

const DEFAULT_ROUTE = { path: 'health/db', key: 'db' };

/** Terminus and what needs it, once they are loaded: an app without health checks does not load them, nor need them installed. */
let terminus: typeof import('./terminus-health.module.js') | undefined;

/** A module that imports Terminus and serves this route, or none. */
function healthRoute({ path = DEFAULT_ROUTE.path, ...options }: DatabaseHealthOptions = {}) {
  const imported = new OnDemand<DynamicModule>(async () => {
    terminus ??= await import('./terminus-health.module.js');
    if (path === false) return { module: terminus.TerminusHealthModule };
    return terminus.withHealthRoute({ ...DEFAULT_ROUTE, ...options, path });
  });
  // Nest reads exports when all imports are loaded.
  const exported: ForwardReference = forwardRef(() => terminus?.TerminusHealthModule);
  return { imports: [imported], exports: [exported] };
}

/** Without a route, so that `forRoot()` does not serve the default route in addition to its own. */
@Module({})
class DatabaseHealthRootModule {}

/**
 * Serves `GET /health/db` with Terminus: status 200 when the database answers within one second, otherwise 503.
 *
 * @example
 * ```ts
 * @Module({ imports: [DatabaseModule.forRoot(), DatabaseHealthModule] })
 * export class AppModule {}
 * ```
 */
@Module(healthRoute())
export class DatabaseHealthModule {
  /**
   * Serves a health route with these options, or none with `path: false`. Import it once for each data source with a route.
   *
   * @throws DatabaseConfigError `DATABASE_CONFIG_INVALID` when `timeoutMs` is outside its bounds
   * @example
   * ```ts
   * DatabaseHealthModule.forRoot({ path: 'health/reporting', key: 'reporting', dataSource: 'reporting' });
   * ```
   */
  static forRoot(options: DatabaseHealthOptions = {}): DynamicModule {
    validateTimeout(options);
    return { module: DatabaseHealthRootModule, ...healthRoute(options) };
  }
}
