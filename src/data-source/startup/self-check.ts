import { POSTGRES_LIMITS, SETTINGS } from '../../config/settings/settings.js';
import type { Setting } from '../../config/settings/settings.js';
import type { PoolerMode, ResolvedDatabaseOptions } from '../../database.options.js';

/** What the server says of its settings. */
export type ServerSettings = Readonly<Record<string, ServerSetting>>;

export interface ServerSetting {
  /** As SHOW tells it: `30s`; null when there is no such setting. */
  readonly value: string | null;
  /** In the setting's own unit: `30000`; null for those of extensions that are not loaded. */
  readonly raw: string | null;
  /** `client` when it came with the startup packet; null for those of extensions that are not loaded. */
  readonly source: string | null;
}

/** One setting of PostgreSQL: what is configured, and what is in force. */
export interface SettingCheck {
  /** `statement_timeout` */
  readonly name: string;
  readonly wanted: string;
  /** What the server has; undefined when it has none. */
  readonly actual: string | undefined;
  /** Who sees to it; undefined: nobody does. */
  readonly enforcedBy: 'server' | 'client' | undefined;
}

/** What stands in between, and which limits the client keeps because of it (milliseconds, 0 is none). */
export interface PoolerConstraints {
  readonly mode: PoolerMode;
  /** Whether the server's session is ours for a transaction only. */
  readonly isSessionShared: boolean;
  readonly statementLimitMs: number;
  readonly idleInTransactionMs: number;
}

/** The option that sets a limit of PostgreSQL's; undefined for every other setting. */
function optionOf(name: string): keyof typeof SETTINGS | undefined {
  const key = POSTGRES_LIMITS.get(name);
  return key && `timeouts.${key}`;
}

/** The settings of PostgreSQL that are to be in force on every connection, limits in milliseconds. */
export function wantedSettings({
  timeouts,
  session,
}: Pick<ResolvedDatabaseOptions, 'timeouts' | 'session'>): Record<string, string> {
  const limits = [...POSTGRES_LIMITS]
    .filter(([, key]) => timeouts[key] > 0)
    .map(([name, key]) => [name, String(timeouts[key])] as const);
  return { ...Object.fromEntries(limits), ...session };
}

/** Compares what is configured with what is in force. */
export function checkSettings(
  settings: Pick<ResolvedDatabaseOptions, 'timeouts' | 'session'>,
  found: ServerSettings,
  between: PoolerConstraints,
): SettingCheck[] {
  const byClient = new Set<string>();
  if (between.statementLimitMs > 0) byClient.add('statement_timeout');
  if (between.idleInTransactionMs > 0) byClient.add('idle_in_transaction_session_timeout');
  return Object.entries(wantedSettings(settings)).map(([name, wanted]) => {
    const { value, raw, source } = found[name] ?? { value: null, raw: null, source: null };
    // The server may write a value in another form than the client (`true`, `8192`), so that in a session of this client its
    // origin counts. Limits are compared as numbers: other code may have changed them since.
    const ours = source === 'client' || (source === 'session' && between.mode === 'session');
    const inForce =
      value === wanted || raw === wanted || (ours && !between.isSessionShared && !optionOf(name));
    return {
      name,
      wanted,
      actual: value ?? undefined,
      enforcedBy: inForce ? 'server' : byClient.has(name) ? 'client' : undefined,
    };
  });
}

/** What the client keeps, for the line of the start: `statement_timeout 30 s by the client`; empty when nothing. */
export function describeClientEnforced(checks: readonly SettingCheck[]): string {
  return checks
    .filter(({ enforcedBy }) => enforcedBy === 'client')
    .map(({ name, wanted }) => `${name} ${seconds(wanted)} by the client`)
    .join(', ');
}

/** A warning for each setting that is in force nowhere, with what can be done about it. */
export function describeUnenforced(
  checks: readonly SettingCheck[],
  { isSessionShared }: Pick<PoolerConstraints, 'isSessionShared'>,
): string[] {
  return checks
    .filter(({ enforcedBy }) => enforcedBy === undefined)
    .map(({ name, wanted, actual }) => {
      const limit = optionOf(name);
      const setting = limit ? `${limit} (${(SETTINGS[limit] as Setting).variable})` : `session.${name}`;
      // What a setting of an app holds is its own business.
      const is = limit ? `; the server has ${actual ?? 'none'}` : '';
      const hint = isSessionShared
        ? `the pooler does not pass it on, and a SET would change a session that other clients use. ` +
          `Run ALTER ROLE … SET ${name} = ${limit ? `'${wanted}ms'` : '…'}; ` +
          'for a pooler in session mode set DB_POOLER=session'
        : 'a proxy in between or a hook of the app has changed it';
      return `${setting} is not in force${is}: ${hint}.`;
    });
}

/** `30 s`, `500 ms` */
function seconds(ms: string): string {
  const value = Number(ms);
  return value % 1_000 === 0 ? `${value / 1_000} s` : `${value} ms`;
}
