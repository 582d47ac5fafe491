import { isLocalHost } from '../../config/url/local-host.js';
import type { ResolvedDatabaseOptions } from '../../database.options.js';
import { diagnose } from '../../diagnosis/diagnose.js';
import type { Diagnosis } from '../../diagnosis/diagnose.js';
import { oneLine, redact } from '../../text/masking.js';

/** A failure to connect, told by host and database; no secret in it. */
export interface ConnectFailure extends Diagnosis {
  /** `database "orders" at db.internal:5432 as "app"` */
  readonly target: string;
  /** What happened, with the words of the server or the socket. */
  readonly reason: string;
}

/** Why a connection could not be opened, and what helps. */
export function describeConnectFailure(error: unknown, { server }: ResolvedDatabaseOptions): ConnectFailure {
  const diagnosis = diagnose(error, { localHost: isLocalHost(server.host), connecting: true });
  const { message } = error as { message?: unknown };
  // OpenSSL ends its messages with a new line.
  const detail = typeof message === 'string' && message ? ` (${oneLine(redact(message.trim()))})` : '';
  return {
    ...diagnosis,
    target: `database "${server.database}" at ${server.host}:${server.port} as "${server.username}"`,
    reason: `${diagnosis.meaning}${detail}`,
  };
}
