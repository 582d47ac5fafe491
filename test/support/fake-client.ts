import { EventEmitter } from 'node:events';
import type { PooledConnection } from '../../src/pool/index.js';

/** What a test decides for the clients of one pool. */
export class FakeServer {
  readonly clients: FakeClient[] = [];
  /** Whether dials are answered when the test says so (`client.answer()`), instead of at once. */
  slow = false;
  /** What the next dials fail with. */
  connectError: Error | undefined;
  /** What the next checks fail with. */
  checkError: Error | undefined;
  /** Whether checks are answered when the test says so. */
  slowChecks = false;

  get open(): FakeClient[] {
    return this.clients.filter((client) => client.opened && !client.closed);
  }

  /** The class to give to the pool. */
  get Client(): new () => FakeClient {
    // eslint-disable-next-line @typescript-eslint/no-this-alias
    const server = this;
    return class extends FakeClient {
      constructor(options?: unknown) {
        super(server, options);
      }
    };
  }
}

/** A connection without a server: its test says what it answers, and when. */
export class FakeClient extends EventEmitter implements PooledConnection {
  declare release: (error?: Error | boolean) => void;
  opened = false;
  closed = false;
  isReadyForQuery = true;
  isUsable = true;
  transactionStatus: 'I' | 'T' | 'E' | null = 'I';
  lastSql: string | undefined;
  statementCount: number | undefined = 0;
  closeReason: Error | undefined;
  checks = 0;
  cancels = 0;
  destroyedBy: Error | undefined;
  refs: ('ref' | 'unref')[] = [];
  /** What `restore` gives; by default the session is clean. */
  cleaning: Promise<{ rolledBack: boolean; cleared: boolean; leftBehind?: string }> | undefined;
  #dialled: ((error?: Error | null) => void) | undefined;
  #checked: { resolve(): void; reject(error: Error): void } | undefined;

  constructor(
    readonly server: FakeServer,
    readonly options: unknown,
  ) {
    super();
    server.clients.push(this);
  }

  connect(callback: (error?: Error | null) => void): void {
    this.#dialled = callback;
    if (!this.server.slow) queueMicrotask(() => this.answer(this.server.connectError));
  }

  /** The dial's end. */
  answer(error?: Error): void {
    const dialled = this.#dialled;
    this.#dialled = undefined;
    if (!dialled) return;
    if (!error) this.opened = true;
    dialled(error ?? null);
  }

  query(text: unknown, values: unknown, callback?: (error: Error | null, result?: unknown) => void): unknown {
    this.lastSql = String(text);
    if (this.statementCount !== undefined) this.statementCount += 1;
    const result = { rows: [{ text, values }] };
    if (!callback) return Promise.resolve(result);
    queueMicrotask(() => callback(null, result));
    return undefined;
  }

  end(callback: (error?: Error) => void): void {
    void this.close().then(() => callback());
  }

  reset(_mode: string, _timeoutMs: number): Promise<{ rolledBack: boolean; cleared: boolean }> | undefined {
    return this.cleaning;
  }

  validate(_timeoutMs: number, _primary: boolean): Promise<void> {
    this.checks += 1;
    if (!this.server.slowChecks)
      return this.server.checkError ? Promise.reject(this.server.checkError) : Promise.resolve();
    return new Promise((resolve, reject) => {
      this.#checked = { resolve, reject };
    });
  }

  /** The end of a slow check. */
  answerCheck(error?: Error): void {
    if (error) this.#checked?.reject(error);
    else this.#checked?.resolve();
  }

  cancelRunning(): Promise<void> {
    this.cancels += 1;
    return Promise.resolve();
  }

  close(): Promise<void> {
    this.destroy();
    return Promise.resolve();
  }

  destroy(reason?: Error): void {
    this.destroyedBy ??= reason;
    this.closed = true;
    this.isUsable = false;
    this.answer(reason ?? new Error('Connection terminated'));
    this.answerCheck(new Error('Connection terminated'));
  }

  terminate(reason: Error): Promise<void> {
    this.destroy(reason);
    return Promise.resolve();
  }

  /** The server goes away. */
  lose(error = new Error('Connection terminated unexpectedly')): void {
    this.isUsable = false;
    this.closeReason = error;
    this.closed = true;
    this.emit('error', error);
  }

  ref(): void {
    this.refs.push('ref');
  }

  unref(): void {
    this.refs.push('unref');
  }
}
