import { ConnectionError } from '../../errors/connection.errors.js';
import type { LoginMessages } from './channel-binding.js';
import type { ServerKind } from '../../database.options.js';

interface Asking {
  query(text: string): Promise<{ rows: { standby?: boolean; read_only?: boolean }[] }>;
}

const QUESTION = `SELECT pg_is_in_recovery() AS standby, current_setting('default_transaction_read_only')::bool AS read_only`;

/**
 * Refuses a server of another kind than is wanted, as libpq's `target_session_attrs` does. PostgreSQL 14 and later say at
 * the login what they are; an older one, or a pooler that does not pass it on, is asked.
 * @returns what to do when the login is over; it rejects with a ConnectionError `SERVER_KIND_REFUSED`
 */
export function requireServerKind(
  wire: LoginMessages,
  wanted: ServerKind,
): (client: Asking) => Promise<void> {
  const reported: Record<string, string> = {};
  wire.on('parameterStatus', (status: { parameterName: string; parameterValue: string }) => {
    reported[status.parameterName] = status.parameterValue;
  });
  return async (client) => {
    let standby: boolean;
    let readOnly: boolean;
    const { in_hot_standby: recovering, default_transaction_read_only: transactions } = reported;
    if (recovering !== undefined && transactions !== undefined) {
      standby = recovering === 'on';
      readOnly = transactions === 'on';
    } else {
      const [row] = (await client.query(QUESTION)).rows;
      standby = row?.standby !== false;
      readOnly = row?.read_only !== false;
    }
    const kinds: Record<ServerKind, boolean> = {
      'read-write': !standby && !readOnly,
      'read-only': standby || readOnly,
      primary: !standby,
      standby,
    };
    if (kinds[wanted]) return;
    const found = standby ? 'a standby' : readOnly ? 'read-only' : 'a primary';
    throw new ConnectionError(`The server is ${found}, and target_session_attrs is ${wanted}.`, {
      code: 'SERVER_KIND_REFUSED',
      hint: 'Name another server, or change target_session_attrs (serverKind).',
    });
  };
}
