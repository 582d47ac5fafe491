import type { ClientConfig } from 'pg';
import type { LoginMethod, PasswordSource, ServerKind, SslNegotiation } from '../database.options.js';
import type { PoolerTerms } from './session/pooler-terms.js';
import type { SessionSettings } from './session/session-settings.js';

/** The options of a `Connection`: those of `pg.Client`, and the following. */
export interface ConnectionOptions extends ClientConfig {
  /**
   * Longest time for a connect: name lookup, TCP, TLS and login. At its end, `connect` rejects with a ConnectTimeoutError
   * and the socket is destroyed. Milliseconds, 0 is off. `pg`'s `connectionTimeoutMillis` means the same.
   * @defaultValue 10 000
   */
  connectTimeoutMs?: number;
  /**
   * Settings of PostgreSQL that are in force before the first query. They are sent in the startup packet, which poolers
   * such as PgBouncer refuse.
   * @defaultValue none
   */
  session?: SessionSettings;
  /**
   * Whether to refuse a login that is not bound to its TLS connection, as libpq's `channel_binding=require` does. Requires
   * `enableChannelBinding: true`.
   * @defaultValue false
   */
  requireChannelBinding?: boolean;
  /**
   * The source of the password, instead of `password`. It is asked when the server asks for a password, and is informed
   * when the server refuses one.
   * @defaultValue `password`
   */
  passwords?: PasswordSource;
  /**
   * The login methods that the server may ask for, as in libpq's `require_auth`.
   * @defaultValue any
   */
  requireAuth?: readonly LoginMethod[];
  /**
   * What the server must be, as in libpq's `target_session_attrs`. `connect` rejects when it is something else.
   * @defaultValue anything
   */
  serverKind?: ServerKind;
  /**
   * How TLS starts: after a request in plain text (`postgres`) or at once (`direct`). `direct` requires `pg` 8.23 and
   * PostgreSQL 17.
   * @defaultValue postgres
   */
  sslnegotiation?: SslNegotiation;
  /**
   * How much longer than the server's `statement_timeout` the client waits before it cancels a statement. A second later
   * it destroys the socket. Milliseconds.
   * @defaultValue a quarter of `statement_timeout`, at least 500 and at most 5 000
   */
  statementGraceMs?: number;
  /**
   * The client's limit for one statement, for a server that enforces none. Milliseconds, 0 is off.
   * @defaultValue `statement_timeout` and the grace; `query_timeout` when that is shorter
   */
  statementLimitMs?: number;
  /**
   * What the connection has to do without, or itself, because a pooler is between the client and the server.
   * @defaultValue no pooler
   */
  poolerTerms?: PoolerTerms;
}

/** The options as `pg.Client` gets them. */
export function clientConfig(options: ConnectionOptions): ClientConfig {
  return {
    keepAlive: true,
    keepAliveInitialDelayMillis: 30_000,
    ...options,
    // `connectTimeoutMs` is in force: with both, one deadline would have two errors.
    connectionTimeoutMillis: 0,
    // `pg` makes the key of the object that it gets not enumerable, and this object is the caller's.
    ...(typeof options.ssl === 'object' ? { ssl: copyOf(options.ssl) } : undefined),
  };
}

/** Copies properties that are not enumerable, too: `pg` has made the key so in an object that it got before. */
function copyOf<T extends object>(settings: T): T {
  return Object.create(
    Object.getPrototypeOf(settings) as object,
    Object.getOwnPropertyDescriptors(settings),
  ) as T;
}
