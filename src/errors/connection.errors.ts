import { shortSql } from '../text/masking.js';
import { DatabaseError } from './database.error.js';
import type { DatabaseErrorOptions } from './database.error.js';

/**
 * The start of a data source could not connect, or found another server than `target_session_attrs` requires. `code` and
 * `hint` are those of the diagnosis (`CONNECTION_REFUSED`, `PASSWORD_WRONG`, …); `cause` is the error of the last attempt.
 * `DB_CONNECT_RETRIES` sets how often a start tries again after a transient failure.
 *
 * @example
 * ```ts
 * try {
 *   await NestFactory.create(AppModule, { abortOnError: false });
 * } catch (error) {
 *   if (error instanceof DatabaseConnectionError) console.error(`${error.code}: ${error.hint}`);
 *   throw error;
 * }
 * ```
 */
export class DatabaseConnectionError extends DatabaseError {
  static override readonly family: string = 'DatabaseConnectionError';
}

/**
 * A connection failed. The app usually finds this error in the `cause` of an error of the pool, or in the `driverError` of
 * TypeORM's `QueryFailedError`.
 *
 * Codes of the class itself:
 * - `CHANNEL_BINDING_MISSING`, `LOGIN_METHOD_REFUSED`, `SERVER_KIND_REFUSED`, `TLS_DIRECT_REFUSED`: the server does not
 *   offer what `channel_binding`, `require_auth`, `target_session_attrs` or `sslnegotiation` requires.
 * - `NOT_POSTGRESQL`: another program answered. Correct host and port.
 * - `TLS_TAMPERED`: plain text followed the server's agreement to TLS. Look for a proxy or an attacker between the app and the server.
 */
export class ConnectionError extends DatabaseError {
  static override readonly family: string = 'ConnectionError';
}

/**
 * A connection was not open within the connect timeout: `DB_CONNECT_TIMEOUT`, `timeouts.connectMs`, or `connectTimeoutMs`
 * of a pool alone.
 *
 * - `CONNECT_TIMEOUT`: the server did not answer. Check host, port and firewall.
 * - `HANDSHAKE_TIMEOUT`: the server accepted the connection, but did not complete TLS and login.
 *
 * The message ends in "timeout expired", as in `pg`.
 */
export class ConnectTimeoutError extends ConnectionError {
  static override readonly family: string = 'ConnectTimeoutError';

  constructor(server: string, timeoutMs: number, isAccepted = false) {
    const what = isAccepted ? 'accepted the connection but did not complete the login' : 'did not answer';
    super(`Connection timeout: ${server} ${what} within ${timeoutMs} ms (timeout expired).`, {
      code: isAccepted ? 'HANDSHAKE_TIMEOUT' : 'CONNECT_TIMEOUT',
      hint: 'Check host, port and firewall. connectTimeoutMs (pg: connectionTimeoutMillis) sets the limit.',
    });
  }
}

/**
 * A password function or a password file did not provide a password.
 *
 * - `PASSWORD_UNAVAILABLE`: the function failed or did not return within the connect timeout, or the file cannot be
 *   read. The next connect tries again.
 * - `PASSWORD_INVALID`: the function returned something other than a string or `{ password, expiresAt }`.
 */
export class PasswordError extends ConnectionError {
  static override readonly family: string = 'PasswordError';

  constructor(message: string, options: Partial<DatabaseErrorOptions> = {}) {
    super(message, { code: 'PASSWORD_UNAVAILABLE', ...options });
  }

  /** The error of a password function that did not return within `timeoutMs` milliseconds. */
  static timeout(timeoutMs: number): PasswordError {
    return new PasswordError(`The password function did not return within ${timeoutMs} ms.`, {
      hint: 'connectTimeoutMs (pg: connectionTimeoutMillis) sets the limit, as for the whole connection attempt.',
    });
  }
}

/**
 * An open connection cannot be used any longer. The pool destroys it and opens another one.
 *
 * - `CONNECTION_RESET_FAILED`: its session could not be reset after a lease, or it was used after its release.
 * - `CONNECTION_SILENT`: the server did not answer.
 * - `CONNECTION_STANDBY`: the server is a standby now, after a failover.
 */
export class ConnectionResetError extends ConnectionError {
  static override readonly family: string = 'ConnectionResetError';

  constructor(message: string, options: Partial<DatabaseErrorOptions> = {}) {
    super(message, { code: 'CONNECTION_RESET_FAILED', ...options });
  }
}

/**
 * The client ended a statement, because the server did not end it at its own time limit: `QUERY_TIMEOUT`. The client's limit
 * is `DB_STATEMENT_TIMEOUT` plus a grace period, or `query_timeout` of `pg`. The client asks the server to cancel the
 * statement, and closes the connection if that fails. Whether the statement took effect is not known.
 *
 * A statement that the server ends at `statement_timeout` fails with SQLSTATE 57014 instead.
 *
 * @example
 * ```ts
 * const timedOut = error instanceof QueryFailedError && error.driverError instanceof QueryTimeoutError;
 * ```
 */
export class QueryTimeoutError extends ConnectionError {
  static override readonly family: string = 'QueryTimeoutError';

  constructor(
    limitMs: number,
    sql?: string,
    hint = 'The limit is statement_timeout plus statementGraceMs, or query_timeout.',
  ) {
    const statement = sql ? `, SQL ${shortSql(sql)}` : '';
    super(`Query read timeout: no answer within ${limitMs} ms${statement}; it was cancelled.`, {
      code: 'QUERY_TIMEOUT',
      hint,
    });
  }
}
