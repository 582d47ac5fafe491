import type { ResolvedDatabaseOptions, SettingOrigin, TimeoutSettings } from '../../database.options.js';
import { neonHost } from '../url/neon-host.js';
import type { Problems } from '../problems/problems.js';
import { spaced } from '../problems/value-shape.js';
import { POSTGRES_LIMITS } from '../settings/settings.js';

/** Checks combinations: options that are valid alone but contradict each other, or that are suspicious together. */
export function checkCombinations(resolved: ResolvedDatabaseOptions, problems: Problems): void {
  checkSchemaChanges(resolved, problems);
  checkMinIdle(resolved, problems);
  checkMultiplex(resolved, problems);
  checkSession(resolved, problems);
  checkChannelBinding(resolved, problems);
  checkShortTimeouts(resolved, problems);
}

function checkSchemaChanges(
  { typeorm, startup, profile }: ResolvedDatabaseOptions,
  problems: Problems,
): void {
  const atStart = (['synchronize', 'migrationsRun', 'dropSchema'] as const).find((key) => typeorm[key]);
  if (startup === 'lazy' && atStart !== undefined)
    problems.add(
      atStart,
      'needs the database at start, and startup: lazy starts without it; use startup: verify, or run migrations separately',
    );
  if (profile !== 'production') return;
  for (const key of ['synchronize', 'dropSchema'] as const)
    if (typeorm[key])
      problems.warn(
        key,
        `is on in profile production: it can DELETE COLUMNS AND DATA at every start; use migrations, ` +
          `or set profile: 'development' if this is not production`,
      );
}

function checkMinIdle({ pool: { minIdle, size } }: ResolvedDatabaseOptions, problems: Problems): void {
  if (minIdle > size)
    problems.add(
      'pool.minIdle',
      `${minIdle} is more than pool.size ${size}; the pool keeps at most pool.size idle connections`,
    );
}

function checkMultiplex(
  { multiplex, pool, pooler, preparedStatements, server, origins }: ResolvedDatabaseOptions,
  problems: Problems,
): void {
  const origin = origins['multiplex.connections'];
  if (!multiplex || origin === 'default') return;
  const refuse = (message: string) =>
    problems.add(
      origin === 'options' ? 'multiplex.connections' : 'DB_MULTIPLEX',
      `${multiplex.connections} ${message}`,
    );
  if (pooler !== undefined && pooler !== 'none')
    refuse(
      `shares connections, which the pooler (pooler: ${pooler}) does already; use 0, or a direct connection with pooler: none`,
    );
  else if (pooler === undefined && neonHost(server.host)?.isPooled === true)
    refuse('shares connections, which the pooler of Neon does already; use 0, or the host without -pooler');
  if (preparedStatements === false)
    refuse('shares connections for prepared statements, and preparedStatements is false; use 0');
  if (pool.reset === 'discard')
    refuse(
      'shares a session among callers, and pool.reset: discard clears it after each of them; use 0, or pool.reset: smart',
    );
}

/** Settings of PostgreSQL that an option of this module sets, each with that option. */
const OWN_POSTGRES_SETTINGS: ReadonlyMap<string, string> = new Map([
  ...[...POSTGRES_LIMITS].map(([name, key]) => [name, `timeouts.${key}`] as const),
  ['application_name', 'applicationName'],
]);

function checkSession({ session }: ResolvedDatabaseOptions, problems: Problems): void {
  for (const key of Object.keys(session)) {
    const setting = OWN_POSTGRES_SETTINGS.get(key.toLowerCase());
    if (setting !== undefined)
      problems.add(`session.${key}`, `would contradict the settings of this module; use ${setting}`);
  }
}

function checkChannelBinding({ channelBinding, ssl }: ResolvedDatabaseOptions, problems: Problems): void {
  if (channelBinding === 'require' && ssl.mode === 'disable')
    problems.add('ssl.mode', 'is disable, but channel_binding=require in the URL needs TLS; use require');
}

/** A limit below this number of milliseconds was probably meant in seconds. A short `lockMs` is common. */
const SUSPICIOUS_BELOW_MS = [
  ['statementMs', 1_000],
  ['idleInTransactionMs', 1_000],
  ['lockMs', 100],
  ['shutdownMs', 1_000],
] as const satisfies (readonly [keyof TimeoutSettings, number])[];

function checkShortTimeouts({ timeouts, origins }: ResolvedDatabaseOptions, problems: Problems): void {
  for (const [key, least] of SUSPICIOUS_BELOW_MS) {
    const value = timeouts[key];
    if (hasNoUnit(origins[`timeouts.${key}`]) && value > 0 && value < least)
      problems.warn(
        `timeouts.${key}`,
        `${value} ms is very short; the unit is milliseconds, ${value} seconds are ${spaced(value * 1_000)}`,
      );
  }
}

/** In code and in the URL, a limit is a bare number of milliseconds. A variable has a unit. */
const hasNoUnit = (origin: SettingOrigin | undefined) => origin === 'options' || origin === 'url';
