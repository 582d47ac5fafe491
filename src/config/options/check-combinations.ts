import type { ResolvedDatabaseOptions, SettingOrigin } from '../../database.options.js';
import type { Problems } from '../problems/problems.js';
import { spaced } from '../problems/value-shape.js';
import { TIME_LIMITS } from '../settings/time-limits.js';

/** Settings that PostgreSQL knows by other names than ours. */
const OWN_GUCS: ReadonlyMap<string, string> = new Map([
  ...Object.entries(TIME_LIMITS).map(([name, key]) => [name, `timeouts.${key}`] as const),
  ['application_name', 'applicationName'],
]);

/** Shorter than this, a time limit in code was probably meant in seconds. Waits for locks are short on purpose. */
const SUSPICIOUS_MS = {
  'timeouts.statementMs': 1_000,
  'timeouts.idleInTransactionMs': 1_000,
  'timeouts.lockMs': 100,
  'timeouts.shutdownMs': 1_000,
} as const;

/** What is right by itself and wrong, or suspicious, together. */
export function checkCombinations(resolved: ResolvedDatabaseOptions, problems: Problems): void {
  const { typeorm, origins } = resolved;
  const changesSchema = (['synchronize', 'migrationsRun', 'dropSchema'] as const).filter(
    (key) => typeorm[key],
  );
  if (resolved.startup === 'lazy' && changesSchema.length > 0)
    problems.add(
      changesSchema[0]!,
      'needs the database at start, which startup: lazy does without; use startup: verify, or run migrations apart',
    );
  if (resolved.pool.minIdle > resolved.pool.size)
    problems.add(
      'pool.minIdle',
      `${resolved.pool.minIdle} is more than pool.size ${resolved.pool.size}; beyond that connections don't stay`,
    );
  if (resolved.profile === 'production')
    for (const key of ['synchronize', 'dropSchema'] as const)
      if (typeorm[key])
        problems.warn(
          key,
          `is on in profile production: it can DELETE COLUMNS AND DATA at every start; use migrations, ` +
            `or say profile: 'development' where this is no production`,
        );
  for (const key of Object.keys(resolved.session)) {
    const ours = OWN_GUCS.get(key.toLowerCase());
    if (ours !== undefined)
      problems.add(`session.${key}`, `would contradict the settings of this module; use ${ours}`);
  }
  if (resolved.channelBinding === 'require' && resolved.ssl.mode === 'disable')
    problems.add('ssl.mode', 'is disable, but channel_binding=require in the URL needs TLS; use require');
  for (const [path, least] of Object.entries(SUSPICIOUS_MS)) {
    const value = valueAt(resolved, path);
    if (fromCode(origins[path]) && value > 0 && value < least)
      problems.warn(
        path,
        `${value} ms is very short; the unit is milliseconds, ${value} seconds are ${spaced(value * 1_000)}`,
      );
  }
}

const fromCode = (origin: SettingOrigin | undefined) => origin === 'options' || origin === 'url';

const valueAt = (resolved: ResolvedDatabaseOptions, path: string) =>
  resolved.timeouts[path.slice('timeouts.'.length) as keyof ResolvedDatabaseOptions['timeouts']];
