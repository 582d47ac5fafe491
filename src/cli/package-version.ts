import { existsSync, readFileSync } from 'node:fs';

/** The version in the nearest package.json of this package. Its folder differs between the sources and the builds. */
export function packageVersion(): string {
  for (let at = new URL('.', import.meta.url); ; at = new URL('..', at)) {
    const file = new URL('package.json', at);
    if (existsSync(file)) {
      const { name, version } = JSON.parse(readFileSync(file, 'utf8')) as { name?: string; version?: string };
      if (name === 'nestjs-database') return version ?? 'unknown';
    }
    if (at.pathname === '/' || at.href === new URL('..', at).href) return 'unknown';
  }
}
