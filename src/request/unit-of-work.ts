import type { ServerResponse } from 'node:http';
import type { ManagedDataSource } from '../data-source/managed-data-source.js';
import type { Borrower, ManagedQueryRunner } from '../data-source/managed-query-runner.js';

/**
 * What one request does on one data source: its query runner, and when that ends. The connection goes back as soon as
 * the handler has settled, so that a slow reader of the response holds none; the runner itself ends when the response
 * has closed too, since an exception filter may still use it.
 */
export class UnitOfWork {
  readonly runner: ManagedQueryRunner;
  private handlerRuns = false;
  private responseClosed = false;

  constructor(dataSource: ManagedDataSource, response: ServerResponse, borrower: Borrower) {
    this.runner = dataSource.createRunnerFor(borrower);
    if (response.closed || response.destroyed) this.onResponseClosed();
    // 'close' comes after every response, finished or cut off by the client.
    else response.once('close', () => this.onResponseClosed());
  }

  /** Guards have passed: from here on the handler may use the runner, whatever the client does. */
  handlerStarted(): void {
    this.handlerRuns = true;
  }

  handlerSettled(): void {
    this.handlerRuns = false;
    void (this.responseClosed ? this.runner.release() : this.runner.giveBack());
  }

  private onResponseClosed(): void {
    this.responseClosed = true;
    // A handler goes on after its client left; its statements must not lose their connection halfway.
    if (!this.handlerRuns) void this.runner.release();
  }
}
