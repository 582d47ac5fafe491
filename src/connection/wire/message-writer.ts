import { Connection } from 'pg';
import type { SentValue } from './pg-internals.js';

/** The methods of the class `Connection` of `pg` that write a message by calling `_send`. */
interface PgWriter {
  parse(message: { name: string; text: string }): void;
  bind(message: { statement: string; values: readonly SentValue[] }): void;
  describe(target: { type: 'S'; name: string }): void;
  execute(message: object): void;
  close(target: { type: 'S'; name: string }): void;
  sync(): void;
  _send(message: Buffer): void;
}

/**
 * Writes messages of the extended query protocol into memory, as the `Connection` of `pg` writes them to its socket. The
 * prototype has the writers of all messages; the instance replaces the socket.
 */
export class MessageWriter {
  readonly #messages: Buffer[] = [];
  readonly #pg: PgWriter;
  readonly #executeAndSync: Buffer;

  constructor() {
    this.#pg = Object.create(Connection.prototype) as PgWriter;
    this.#pg._send = (message) => void this.#messages.push(message);
    this.#pg.execute({});
    this.#pg.sync();
    this.#executeAndSync = Buffer.concat(this.take());
  }

  close(name: string): void {
    this.#pg.close({ type: 'S', name });
  }

  /** Parses a statement by name, and asks for the columns of its rows before the values are read: the server may refuse them. */
  parse(name: string, text: string): void {
    this.#pg.parse({ name, text });
    this.#pg.describe({ type: 'S', name });
  }

  /** Binds the values, executes the statement, and ends it with a Sync of its own. */
  execute(statement: string, values: readonly SentValue[]): void {
    this.#pg.bind({ statement, values });
    this.#messages.push(this.#executeAndSync);
  }

  /** The messages written since the last call. */
  take(): Buffer[] {
    return this.#messages.splice(0);
  }
}
