import { POSTGRES_LIMITS, SETTINGS } from '../../config/settings/settings.js';
import type { Setting } from '../../config/settings/settings.js';
import type { PoolerMode, ResolvedDatabaseOptions } from '../../database.options.js';

/** Settings as the server reports them, by name. */
export type ServerSettings = Readonly<Record<string, ServerSetting>>;

export interface ServerSetting {
  /** The value as SHOW returns it: `30s`. Null if the server has no such setting. */
  readonly value: string | null;
  /** The value in the setting's own unit: `30000`. Null for a setting of an extension that is not loaded. */
  readonly raw: string | null;
  /** `client` if the value came with the startup packet. Null for a setting of an extension that is not loaded. */
  readonly source: string | null;
}

/** One setting of PostgreSQL: what is configured, and what is in force. */
export interface SettingCheck {
  /** `statement_timeout` */
  readonly name: string;
  readonly wanted: string;
  /** The value in force; undefined when the server has no such setting. */
  readonly actual: string | undefined;
  /** Where the setting is enforced; undefined when it is not in force. */
  readonly enforcedBy: 'server' | 'client' | undefined;
}

/** How a pooler restricts the session, and which limits the client enforces instead of the server. Milliseconds, 0 is no limit. */
export interface PoolerConstraints {
  readonly mode: PoolerMode;
  /** Whether the session belongs to the client for one transaction only. */
  readonly isSessionShared: boolean;
  readonly statementLimitMs: number;
  readonly idleInTransactionMs: number;
}

/** The option behind a time limit of PostgreSQL; undefined for every other setting. */
function optionOf(name: string): keyof typeof SETTINGS | undefined {
  const key = POSTGRES_LIMITS.get(name);
  return key && `timeouts.${key}`;
}

/** The PostgreSQL settings that are configured for every connection; limits in milliseconds. */
export function wantedSettings({
  timeouts,
  session,
}: Pick<ResolvedDatabaseOptions, 'timeouts' | 'session'>): Record<string, string> {
  const limits = [...POSTGRES_LIMITS]
    .filter(([, key]) => timeouts[key] > 0)
    .map(([name, key]) => [name, String(timeouts[key])] as const);
  return { ...Object.fromEntries(limits), ...session };
}

/** Compares the configured settings with those in force. */
export function checkSettings(
  settings: Pick<ResolvedDatabaseOptions, 'timeouts' | 'session'>,
  found: ServerSettings,
  pooler: PoolerConstraints,
): SettingCheck[] {
  const byClient = new Set<string>();
  if (pooler.statementLimitMs > 0) byClient.add('statement_timeout');
  if (pooler.idleInTransactionMs > 0) byClient.add('idle_in_transaction_session_timeout');
  return Object.entries(wantedSettings(settings)).map(([name, wanted]) => {
    const { value, raw, source } = found[name] ?? { value: null, raw: null, source: null };
    // The server may report a value in another notation: `on` for `true`, `8MB` for `8192`. In a session of this client, whatever the
    // client has set is in force. Limits are numbers and are compared, since a hook may have changed them.
    const isOwn = source === 'client' || (source === 'session' && pooler.mode === 'session');
    const inForce =
      value === wanted || raw === wanted || (isOwn && !pooler.isSessionShared && !optionOf(name));
    return {
      name,
      wanted,
      actual: value ?? undefined,
      enforcedBy: inForce ? 'server' : byClient.has(name) ? 'client' : undefined,
    };
  });
}

/** The limits that the client enforces, for the log line of the start: `statement_timeout 30 s by the client`. May be empty. */
export function describeClientEnforced(checks: readonly SettingCheck[]): string {
  return checks
    .filter(({ enforcedBy }) => enforcedBy === 'client')
    .map(({ name, wanted }) => `${name} ${limitText(wanted)} by the client`)
    .join(', ');
}

/** A warning with a hint for each setting that is not in force. */
export function describeUnenforced(
  checks: readonly SettingCheck[],
  { isSessionShared }: Pick<PoolerConstraints, 'isSessionShared'>,
): string[] {
  return checks
    .filter(({ enforcedBy }) => enforcedBy === undefined)
    .map(({ name, wanted, actual }) => {
      const limit = optionOf(name);
      const setting = limit ? `${limit} (${(SETTINGS[limit] as Setting).variable})` : `session.${name}`;
      // The value of a setting of the app may be private.
      const serverValue = limit ? `; the server has ${actual ?? 'none'}` : '';
      const hint = isSessionShared
        ? `the pooler does not pass it on, and a SET would change another client's session. ` +
          `Set it on the server by ALTER ROLE … SET ${name} = ${limit ? `'${wanted}ms'` : '…'}; ` +
          'if the pooler is in session mode, set DB_POOLER=session'
        : 'a proxy, or a hook of the app, has set another value';
      return `${setting} is not in force${serverValue}: ${hint}.`;
    });
}

/** A limit as configured, not rounded like a measured duration: `30 s`, `1500 ms`. */
function limitText(ms: string): string {
  const value = Number(ms);
  return value % 1_000 === 0 ? `${value / 1_000} s` : `${value} ms`;
}
