import type { ClientConfig } from 'pg';
import type {
  LoginMethod,
  PasswordSource,
  PreparedStatementSettings,
  ServerKind,
  SslNegotiation,
} from '../database.options.js';
import type { PoolerTerms } from './session/pooler-terms.js';
import type { SessionSettings } from './session/session-settings.js';
import type { StatementTimings } from './shared/statement-timings.js';
import type { StatementTexts } from './statements/statement-texts.js';

/** The options of a `Connection`: those of `pg.Client`, and the following. */
export interface ConnectionOptions extends ClientConfig {
  /**
   * Longest time for a connect: name lookup, TCP, TLS and login. At its end, `connect` rejects with a ConnectTimeoutError
   * and the socket is destroyed. Milliseconds, 0 is off. `connectionTimeoutMillis` of `pg` is a synonym.
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
   * The source of the password, instead of the option `password`. It is called when the server requests a password, and is
   * notified when the server refuses it.
   * @defaultValue the option `password`
   */
  passwords?: PasswordSource;
  /**
   * The login methods that the server may request, as in libpq's `require_auth`.
   * @defaultValue any method
   */
  requireAuth?: readonly LoginMethod[];
  /**
   * The kind of server that is required, as in libpq's `target_session_attrs`. `connect` rejects at any other server.
   * @defaultValue any kind
   */
  serverKind?: ServerKind;
  /**
   * How TLS starts: after a request in plain text (`postgres`) or immediately (`direct`). `direct` requires `pg` 8.23 and
   * PostgreSQL 17.
   * @defaultValue `postgres`
   */
  sslnegotiation?: SslNegotiation;
  /**
   * How much longer than the server's `statement_timeout` the client waits before it cancels a statement. If the statement
   * is still active one second later, the client destroys the socket. Milliseconds.
   * @defaultValue a quarter of `statement_timeout`, at least 500 and at most 5 000
   */
  statementGraceMs?: number;
  /**
   * The client's own limit for one statement. `query_timeout` of `pg` counts instead when it is shorter. Milliseconds, 0 is
   * off.
   * @defaultValue `statement_timeout` plus `statementGraceMs`; off without `statement_timeout`
   */
  statementLimitMs?: number;
  /**
   * The restrictions of a pooler between the client and the server, and the limits that the client enforces instead.
   * @defaultValue no pooler
   */
  poolerTerms?: PoolerTerms;
  /**
   * Whether a parameterised statement that is used often is prepared on the connection, and is then sent without being parsed
   * again. A pool counts the uses for all its connections.
   * @defaultValue true: at the fifth use, and at most 256 for each connection
   */
  preparedStatements?: boolean | PreparedStatementSettings;
  /**
   * What the connections of one pool know of the texts of their statements.
   * @internal
   */
  statementTexts?: StatementTexts;
  /**
   * How long the statements of one pool take. Given by a pool that shares connections; they measure their statements then.
   * @internal
   */
  statementTimings?: StatementTimings;
}

/** The options for the constructor of `pg.Client`. */
export function clientConfig(options: ConnectionOptions): ClientConfig {
  return {
    keepAlive: true,
    keepAliveInitialDelayMillis: 30_000,
    ...options,
    // The connection enforces `connectTimeoutMs`. With a timer of `pg` beside it, either of two errors could come first.
    connectionTimeoutMillis: 0,
    // `pg` makes the property `key` of this object non-enumerable: it must not change the caller's object.
    ...(typeof options.ssl === 'object' ? { ssl: copyOf(options.ssl) } : undefined),
  };
}

/** Copies non-enumerable properties too: the caller may pass an object whose `key` `pg` has already hidden. */
function copyOf<T extends object>(settings: T): T {
  return Object.create(
    Object.getPrototypeOf(settings) as object,
    Object.getOwnPropertyDescriptors(settings),
  ) as T;
}
