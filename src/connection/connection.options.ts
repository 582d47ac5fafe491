import type { ClientConfig } from 'pg';
import type { LoginMethod, PasswordSource, ServerKind, SslNegotiation } from '../database.options.js';
import type { SessionSettings } from './session/session-settings.js';
import type { SessionTerms } from './session/session-terms.js';

/** What a `Connection` takes beside everything that `pg.Client` takes. */
export interface ConnectionOptions extends ClientConfig {
  /**
   * Longest dial: name look-up, TCP, TLS, login and session settings. The socket is destroyed at its end. Milliseconds,
   * 0 is off. `pg`'s `connectionTimeoutMillis` stands in for it.
   * @defaultValue 10 000
   */
  connectTimeoutMs?: number;
  /**
   * Settings of PostgreSQL in force before the first query, sent in the startup packet. Poolers such as PgBouncer refuse
   * them.
   * @defaultValue none
   */
  session?: SessionSettings;
  /**
   * Whether a login that is not bound to its TLS connection is refused, as by libpq's `channel_binding=require`. Wants
   * `enableChannelBinding` too.
   * @defaultValue false
   */
  requireChannelBinding?: boolean;
  /**
   * Where the password comes from, instead of `password`: it is also told when the server refuses one.
   * @defaultValue `password`
   */
  passwords?: PasswordSource;
  /**
   * The only methods by which the server may ask for a login, as in libpq's `require_auth`.
   * @defaultValue any
   */
  requireAuth?: readonly LoginMethod[];
  /**
   * What the server has to be, as in libpq's `target_session_attrs`; the dial fails when it is something else.
   * @defaultValue anything
   */
  serverKind?: ServerKind;
  /**
   * How TLS begins. `direct` wants `pg` 8.23 and PostgreSQL 17.
   * @defaultValue postgres
   */
  sslnegotiation?: SslNegotiation;
  /**
   * How much longer than the server's `statement_timeout` the client waits before it cancels a statement and then
   * destroys the socket. Milliseconds.
   * @defaultValue a quarter of `statement_timeout`, at least 500 and at most 5 000
   */
  statementGraceMs?: number;
  /**
   * The client's own limit for one statement, where the server has none (behind a pooler). Milliseconds, 0 is off.
   * @defaultValue `statement_timeout` and the grace, or `query_timeout` when that is shorter
   */
  statementLimitMs?: number;
  /**
   * What the connection does itself because of a pooler in between.
   * @defaultValue nothing: the session is its own
   */
  terms?: SessionTerms;
}
