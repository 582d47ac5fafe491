import { Duplex } from 'node:stream';

interface ScriptedError {
  severity: string;
  code: string;
  /** @defaultValue `failed` */
  message?: string;
  routine?: string;
  where?: string;
}

/** The answer to a statement. */
export interface Answer {
  /** The command tag; several tags for several statements in one text. */
  tag?: string | string[];
  error?: ScriptedError;
  status?: 'I' | 'T' | 'E';
}

/**
 * An imitation of a server: a stream for a client that accepts every login and answers each statement as the test sets. It
 * serves tests of how the client handles answers. Tests of the answers themselves use a real server.
 */
export class ScriptedServer extends Duplex {
  /** The texts of all statements, in order. */
  readonly statements: string[] = [];
  /** The startup packet, as text. */
  startup = '';
  /** Whether it leaves logins without an answer. */
  silent = false;
  /** The only accepted password; undefined accepts every login without a password. */
  password: string | undefined;
  answer: (text: string) => Answer | undefined = () => ({ tag: 'SELECT 0' });
  bytesRead = 0;
  bytesWritten = 0;
  connecting = true;
  /** The arguments of the last `setKeepAlive()`. */
  keptAlive: unknown[] = [];
  #parsed = '';

  connect(): this {
    process.nextTick(() => {
      this.connecting = false;
      this.emit('connect');
    });
    return this;
  }
  setNoDelay(): this {
    return this;
  }
  setKeepAlive(...settings: unknown[]): this {
    this.keptAlive = settings;
    return this;
  }
  ref(): this {
    return this;
  }
  unref(): this {
    return this;
  }

  override _read(): void {
    // `say()` pushes the messages.
  }

  override _write(chunk: Buffer, _encoding: string, done: () => void): void {
    this.bytesWritten += chunk.length;
    // In a later turn: the answer of a real server never arrives within the call that requests it.
    setImmediate(() => {
      if (this.destroyed) return;
      if (this.startup === '') this.#welcome(chunk);
      else for (let at = 0; at < chunk.length; at += 1 + chunk.readInt32BE(at + 1)) this.#hear(chunk, at);
    });
    done();
  }

  /** Sends a message of the server. */
  say(type: string, ...parts: (string | Buffer)[]): void {
    const body = Buffer.concat(parts.map((part) => (typeof part === 'string' ? Buffer.from(part) : part)));
    const length = Buffer.alloc(4);
    length.writeInt32BE(body.length + 4);
    const message = Buffer.concat([Buffer.from(type), length, body]);
    this.bytesRead += message.length;
    this.push(message);
  }

  #welcome(packet: Buffer): void {
    this.startup = packet.toString('latin1');
    if (this.silent) return;
    if (this.password === undefined) this.#letIn();
    else this.say('R', Buffer.from([0, 0, 0, 3]));
  }

  #letIn(): void {
    this.say('R', Buffer.alloc(4));
    this.say('K', Buffer.from([0, 0, 0, 7, 0, 0, 0, 8]));
    this.say('Z', 'I');
  }

  #hear(chunk: Buffer, at: number): void {
    const type = String.fromCharCode(chunk[at] ?? 0);
    const body = chunk.subarray(at + 5, at + 1 + chunk.readInt32BE(at + 1));
    if (type === 'Q') this.#reply(body.toString('utf8', 0, body.indexOf(0)));
    if (type === 'p') {
      if (body.toString('utf8', 0, body.indexOf(0)) === this.password) this.#letIn();
      else this.#fail({ severity: 'FATAL', code: '28P01' });
    }
    if (type === 'P') {
      this.#parsed = body.toString('utf8').split('\0')[1] ?? '';
      this.say('1');
    }
    if (type === 'B') this.say('2');
    if (type === 'D') this.say('n');
    if (type === 'S') this.#reply(this.#parsed);
    if (type === 'X') this.push(null);
  }

  #reply(text: string): void {
    this.statements.push(text);
    const answer = this.answer(text);
    if (!answer) return;
    const { tag, error, status = 'I' } = answer;
    for (const each of [tag ?? []].flat()) this.say('C', `${each}\0`);
    if (error) this.#fail(error);
    this.say('Z', status);
  }

  #fail({ severity, code, message = 'failed', routine, where }: ScriptedError): void {
    const context = `${routine ? `R${routine}\0` : ''}${where ? `W${where}\0` : ''}`;
    this.say('E', `S${severity}\0V${severity}\0C${code}\0M${message}\0${context}\0`);
  }
}
