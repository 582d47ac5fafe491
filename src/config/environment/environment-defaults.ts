import { readFileSync } from 'node:fs';
import { basename, dirname, join } from 'node:path';
import type { DatabaseProfile } from '../../database.options.js';
import { LONGEST_NAME_BYTES } from '../settings/setting-types.js';
import { textOf } from './variable-names.js';
import type { Environment } from './variable-names.js';

/** The profile when no setting names one: `development` when NODE_ENV is development or test, else `production`. */
export function defaultProfile(env: Environment): DatabaseProfile {
  const stage = textOf(env, 'NODE_ENV').toLowerCase();
  return stage === 'development' || stage === 'test' ? 'development' : 'production';
}

const FALLBACK = 'nestjs-database';

/**
 * The `application_name` when no setting gives one: the name in the nearest package.json at or above `folder`, else
 * `npm_package_name`. The scope is removed. The name is truncated to 63 bytes, as PostgreSQL does.
 */
export function defaultApplicationName(env: Environment, folder: string = process.cwd()): string {
  const name = packageName(folder) ?? textOf(env, 'npm_package_name');
  return truncate(name.replace(/^@[^/]*\//, ''), LONGEST_NAME_BYTES) || FALLBACK;
}

/** Skips a package.json without a name: a build folder often holds `{ "type": "module" }`, which is not the app's. */
function packageName(folder: string): string | undefined {
  for (let at = folder; ; at = dirname(at)) {
    if (basename(at) !== 'node_modules') {
      const name = nameIn(join(at, 'package.json'));
      if (name !== undefined) return name;
    }
    if (dirname(at) === at) return undefined;
  }
}

function nameIn(file: string): string | undefined {
  try {
    const { name } = JSON.parse(readFileSync(file, 'utf8')) as { name?: unknown };
    return typeof name === 'string' && name.trim() !== '' ? name.trim() : undefined;
  } catch {
    // Missing, unreadable or not JSON. A default must not keep the app from starting.
    return undefined;
  }
}

/** Keeps whole characters, up to `bytes` bytes of UTF-8. */
function truncate(text: string, bytes: number): string {
  let kept = '';
  for (const character of text) {
    if (Buffer.byteLength(kept + character, 'utf8') > bytes) break;
    kept += character;
  }
  return kept;
}
