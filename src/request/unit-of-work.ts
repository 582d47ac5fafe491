import type { QueryRunner } from 'typeorm';
import type { ManagedDataSource } from '../data-source/managed-data-source.js';
import type { ManagedQueryRunner } from '../data-source/managed-query-runner.js';

/**
 * What one request does on one data source: its query runners, and when that ends. Connections go back as soon as the
 * handler has settled, so that a slow reader of the response holds none; the runners themselves end when the response has
 * closed too, since an exception filter may still use one.
 */
export class UnitOfWork {
  private readonly runners = new Set<ManagedQueryRunner>();
  private first: ManagedQueryRunner | undefined;
  private handlerRuns = false;
  private over = false;

  constructor(
    private readonly dataSource: ManagedDataSource,
    private readonly name: string,
    private readonly identity: object,
  ) {}

  /** The request's own query runner: always the same one. It takes a connection with its first query. */
  get runner(): QueryRunner {
    return (this.first ??= this.create());
  }

  /**
   * A further query runner, with a connection of its own, for work in parallel. It ends with the request, if not before.
   * While all connections are out, a request that holds one and waits for another can only stand still: keep the number
   * of requests at work times the runners of each below the pool's.
   */
  createQueryRunner(): QueryRunner {
    return this.create();
  }

  private create(): ManagedQueryRunner {
    const runner = this.dataSource.createRunnerFor({ name: this.name, unit: this.identity });
    if (this.over) void runner.release();
    else this.runners.add(runner);
    return runner;
  }

  /** @internal Guards have passed: from here on the handler may use its runners, whatever the client does. */
  handlerStarted(): void {
    this.handlerRuns = true;
  }

  /** @internal */
  handlerSettled(responseClosed: boolean): void {
    this.handlerRuns = false;
    if (responseClosed) this.end();
    else for (const runner of this.runners) void runner.giveBackAfterStreams();
  }

  /** @internal `answered`: the whole response was given; else its reader has gone away before. */
  responseClosed(answered: boolean): void {
    // A handler goes on after its client left; its statements must not lose their connection halfway.
    if (!this.handlerRuns) return this.end();
    if (answered) return;
    for (const runner of this.runners) {
      runner.stopWaiting('the client has closed the connection');
      if (this.dataSource.settings.cancelOnDisconnect) void runner.cancelRunning();
    }
  }

  private end(): void {
    this.over = true;
    for (const runner of this.runners) void runner.release();
    this.runners.clear();
  }
}
