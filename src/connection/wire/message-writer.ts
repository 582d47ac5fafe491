import { Connection, Query } from 'pg';

/** The methods of the class `Connection` of `pg` that write a message by calling `_send`. */
interface PgWriter {
  parse(message: { name: string; text: string }): void;
  bind(message: { statement: string; values: unknown[]; valueMapper: ValueMapper }): void;
  describe(target: { type: 'S'; name: string }): void;
  execute(message: object): void;
  close(target: { type: 'S'; name: string }): void;
  sync(): void;
  _send(message: Buffer): void;
}

type ValueMapper = (value: unknown, index: number) => unknown;

/** The text or the bytes that `pg` sends for a value. `pg` does not export the function, but passes it to `bind`. */
const prepareValue = captureValueMapper();

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

  /** Parses a statement by name, and asks for the columns of its rows before the values are read: they may be refused. */
  parse(name: string, text: string): void {
    this.#pg.parse({ name, text });
    this.#pg.describe({ type: 'S', name });
  }

  /**
   * The messages that bind the values, execute the statement, and end it with a Sync of its own. They are not part of
   * {@link take}: what comes before them is written only when the values can be sent.
   * @throws the error of a value that cannot be sent
   */
  execution(statement: string, values: unknown[]): readonly [bind: Buffer, executeAndSync: Buffer] {
    this.#pg.bind({ statement, values, valueMapper: prepareValue });
    return [this.#messages.pop()!, this.#executeAndSync];
  }

  /** The messages written since the last call. */
  take(): Buffer[] {
    return this.#messages.splice(0);
  }
}

function captureValueMapper(): ValueMapper {
  let captured: ValueMapper | undefined;
  const ignore = () => undefined;
  const recorder = {
    parsedStatements: {},
    submittedNamedStatements: {},
    stream: {},
    bind: (message: { valueMapper: ValueMapper }) => (captured = message.valueMapper),
    parse: ignore,
    describe: ignore,
    execute: ignore,
    sync: ignore,
  };
  (new Query('', ['']) as unknown as { prepare(connection: object): void }).prepare(recorder);
  return captured!;
}
