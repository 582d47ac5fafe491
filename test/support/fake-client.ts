import { EventEmitter } from 'node:events';
import type { PooledConnection } from '../../src/pool/index.js';

/** What a test decides for the clients of one pool. */
export class FakeServer {
  readonly clients: FakeClient[] = [];
  /** Whether dials are answered when the test says so (`client.answer()`), instead of at once. */
  isConnectManual = false;
  /** What the next dials fail with. */
  connectError: Error | undefined;
  /** What the next checks fail with. */
  validationError: Error | undefined;
  /** Whether checks are answered when the test says so. */
  isValidationManual = false;

  get open(): FakeClient[] {
    return this.clients.filter((client) => client.isOpen && !client.isClosed);
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
  isOpen = false;
  isClosed = false;
  isReadyForQuery = true;
  isUsable = true;
  transactionStatus: 'I' | 'T' | 'E' | null = 'I';
  lastSql: string | undefined;
  statementCount: number | undefined = 0;
  closeReason: Error | undefined;
  validations = 0;
  cancelCount = 0;
  destroyedBy: Error | undefined;
  refs: ('ref' | 'unref')[] = [];
  /** What `restore` gives; by default the session is clean. */
  resetResult: Promise<{ rolledBack: boolean; cleared: boolean; left?: string }> | undefined;
  #connectCallback: ((error?: Error | null) => void) | undefined;
  #validation: { resolve(): void; reject(error: Error): void } | undefined;

  constructor(
    readonly server: FakeServer,
    readonly options: unknown,
  ) {
    super();
    server.clients.push(this);
  }

  connect(callback: (error?: Error | null) => void): void {
    this.#connectCallback = callback;
    if (!this.server.isConnectManual) queueMicrotask(() => this.completeConnect(this.server.connectError));
  }

  /** The dial's end. */
  completeConnect(error?: Error): void {
    const dialled = this.#connectCallback;
    this.#connectCallback = undefined;
    if (!dialled) return;
    if (!error) this.isOpen = true;
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
    return this.resetResult;
  }

  validate(_timeoutMs: number, _primary: boolean): Promise<void> {
    this.validations += 1;
    if (!this.server.isValidationManual)
      return this.server.validationError ? Promise.reject(this.server.validationError) : Promise.resolve();
    return new Promise((resolve, reject) => {
      this.#validation = { resolve, reject };
    });
  }

  /** The end of a slow check. */
  completeValidation(error?: Error): void {
    if (error) this.#validation?.reject(error);
    else this.#validation?.resolve();
  }

  cancelRunning(): Promise<void> {
    this.cancelCount += 1;
    return Promise.resolve();
  }

  close(): Promise<void> {
    this.destroy();
    return Promise.resolve();
  }

  destroy(reason?: Error): void {
    this.destroyedBy ??= reason;
    this.isClosed = true;
    this.isUsable = false;
    this.completeConnect(reason ?? new Error('Connection terminated'));
    this.completeValidation(new Error('Connection terminated'));
  }

  terminate(reason: Error): Promise<void> {
    this.destroy(reason);
    return Promise.resolve();
  }

  /** The server goes away. */
  disconnect(error = new Error('Connection terminated unexpectedly')): void {
    this.isUsable = false;
    this.closeReason = error;
    this.isClosed = true;
    this.emit('error', error);
  }

  ref(): void {
    this.refs.push('ref');
  }

  unref(): void {
    this.refs.push('unref');
  }
}
