import { EventEmitter } from 'node:events';
import type { PooledConnection } from '../../src/pool/index.js';

/** The server of the fake clients of one pool; a test sets how it answers. */
export class FakeServer {
  readonly clients: FakeClient[] = [];
  /** Whether a connect ends only when the test calls `client.completeConnect()`; otherwise it ends immediately. */
  isConnectManual = false;
  /** The error of the next connects. */
  connectError: Error | undefined;
  /** The error of the next validations. */
  validationError: Error | undefined;
  /** Whether a validation ends only when the test calls `client.completeValidation()`. */
  isValidationManual = false;

  get open(): FakeClient[] {
    return this.clients.filter((client) => client.isOpen && !client.isClosed);
  }

  /** The `Client` class for the pool. */
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

/** A connection without a server; the test decides what it answers, and when. */
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
  /** The result of `reset()`; by default the session needs no reset. */
  resetResult: Promise<{ rolledBack: boolean; cleared: boolean; leftBehind?: string }> | undefined;
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

  /** Ends the connect. */
  completeConnect(error?: Error): void {
    const callback = this.#connectCallback;
    this.#connectCallback = undefined;
    if (!callback) return;
    if (!error) this.isOpen = true;
    callback(error ?? null);
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

  /** Ends a manual validation. */
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

  /** Ends the socket from the side of the server. */
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
