import { Duplex } from 'node:stream';

/** How a statement is answered; nothing at all when there is no answer. */
export interface Answer {
  /** Several where it is several statements in one. */
  tag?: string | string[];
  error?: { severity: string; code: string };
  status?: 'I' | 'T' | 'E';
}

/**
 * The server's end of a connection without a server: a stream to give to a client, which logs in whoever comes and answers
 * each statement as its test says. For what the client makes of answers; what a server answers is for tests on a real one.
 */
export class ScriptedServer extends Duplex {
  /** The texts of all statements, in order. */
  readonly statements: string[] = [];
  /** The startup packet, as text. */
  startup = '';
  /** Whether it logs anybody in. */
  silent = false;
  /** The only password with which it lets anybody in; without one it asks for none. */
  password: string | undefined;
  answer: (text: string) => Answer | undefined = () => ({ tag: 'SELECT 0' });
  bytesRead = 0;
  bytesWritten = 0;
  connecting = true;
  /** What it was told of TCP keepalive. */
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
    // It is pushed when there is something to say.
  }

  override _write(chunk: Buffer, _encoding: string, done: () => void): void {
    this.bytesWritten += chunk.length;
    // Never in the same turn: no server's answer is there when the call that asks for it returns.
    setImmediate(() => {
      if (this.destroyed) return;
      if (this.startup === '') this.#welcome(chunk);
      else for (let at = 0; at < chunk.length; at += 1 + chunk.readInt32BE(at + 1)) this.#hear(chunk, at);
    });
    done();
  }

  /** A message of the server: its type and what is in it. */
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

  #fail({ severity, code }: { severity: string; code: string }): void {
    this.say('E', `S${severity}\0V${severity}\0C${code}\0Mfailed\0\0`);
  }
}
