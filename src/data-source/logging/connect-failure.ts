import { isLocalHost } from '../../config/url/local-host.js';
import type { ResolvedDatabaseOptions } from '../../database.options.js';
import { diagnose } from '../../diagnosis/diagnose.js';
import type { Diagnosis } from '../../diagnosis/diagnose.js';
import { oneLine, redact } from '../../text/masking.js';

/** Why a connection could not be opened. Holds no secret. */
interface ConnectFailure extends Diagnosis {
  /** `database "orders" at db.internal:5432 as "app"` */
  readonly target: string;
  /** The meaning, with the message of the server or the socket in parentheses. */
  readonly summary: string;
}

/** Describes why a connection to the server of `settings` could not be opened. */
export function connectFailure(error: unknown, { server }: ResolvedDatabaseOptions): ConnectFailure {
  const diagnosis = diagnose(error, { localHost: isLocalHost(server.host), connecting: true });
  const { message } = error as { message?: unknown };
  // Trimmed: messages of OpenSSL end in a line break.
  const detail = typeof message === 'string' && message ? ` (${oneLine(redact(message.trim()))})` : '';
  return {
    ...diagnosis,
    target: `database "${server.database}" at ${server.host}:${server.port} as "${server.username}"`,
    summary: `${diagnosis.meaning}${detail}`,
  };
}
