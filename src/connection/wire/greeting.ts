import type { Socket } from 'node:net';
import { ConnectionError } from '../../errors/connection.errors.js';

/** How a server may begin to answer: the first byte, by what it was sent. */
const FIRST_BYTES = {
  /** Authentication, error, notice, negotiation of the protocol's version. */
  startup: 'RENv',
  /** Yes, no, error; https://www.postgresql.org/docs/current/protocol-flow.html#PROTOCOL-FLOW-SSL */
  ssl: 'SNE',
} as const;

/**
 * Calls `refuse` when what answers does not begin as PostgreSQL does: a web server, MySQL, SSH. `pg` would read it as the
 * length of a message and wait for the rest until the deadline.
 */
export function expectPostgres(
  stream: Socket,
  sent: keyof typeof FIRST_BYTES,
  refuse: (error: Error) => void,
): void {
  stream.prependOnceListener('data', (bytes: Uint8Array) => {
    if (FIRST_BYTES[sent].includes(String.fromCharCode(bytes[0] ?? 0))) return;
    refuse(notPostgres());
  });
}

/** What answers speaks neither PostgreSQL's protocol nor TLS. */
export function notPostgres(): ConnectionError {
  return new ConnectionError('What answers at this address is not PostgreSQL.', {
    code: 'NOT_POSTGRESQL',
    hint: 'Correct host and port.',
  });
}
