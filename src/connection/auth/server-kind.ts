import { ConnectionError } from '../../errors/connection.errors.js';
import type { ServerKind } from '../../database.options.js';
import type { WireEventSource } from '../wire/pg-internals.js';

/** The client whose server is verified. */
export interface QueryingClient {
  query(text: string): Promise<{ rows: { standby?: boolean; read_only?: boolean }[] }>;
}

const KIND_QUERY = `SELECT pg_is_in_recovery() AS standby, current_setting('default_transaction_read_only')::bool AS read_only`;

/**
 * Refuses a server that is not of the kind `wanted`, as libpq does for `target_session_attrs`. PostgreSQL 14 and later
 * report their kind at the login. An older server, or one whose pooler does not forward the report, is queried.
 * @returns a function to call after the login; it rejects with a ConnectionError `SERVER_KIND_REFUSED`
 */
export function requireServerKind(
  wire: WireEventSource,
  wanted: ServerKind,
): (client: QueryingClient) => Promise<void> {
  const reported: Record<string, string> = {};
  wire.on('parameterStatus', ({ parameterName, parameterValue }) => {
    reported[parameterName] = parameterValue;
  });
  return async (client) => {
    let isStandby: boolean;
    let isReadOnly: boolean;
    const { in_hot_standby: standby, default_transaction_read_only: readOnly } = reported;
    if (standby !== undefined && readOnly !== undefined) {
      isStandby = standby === 'on';
      isReadOnly = readOnly === 'on';
    } else {
      const [row] = (await client.query(KIND_QUERY)).rows;
      isStandby = row?.standby !== false;
      isReadOnly = row?.read_only !== false;
    }
    const kinds: Record<ServerKind, boolean> = {
      'read-write': !isStandby && !isReadOnly,
      'read-only': isStandby || isReadOnly,
      primary: !isStandby,
      standby: isStandby,
    };
    if (kinds[wanted]) return;
    const found = isStandby ? 'a standby' : isReadOnly ? 'read-only' : 'a primary';
    throw new ConnectionError(`The server is ${found}, and target_session_attrs is ${wanted}.`, {
      code: 'SERVER_KIND_REFUSED',
      hint: 'Name another server, or change target_session_attrs (serverKind).',
    });
  };
}
