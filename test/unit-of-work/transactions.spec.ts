import { afterAll, beforeAll, beforeEach, describe, expect, it } from '@jest/globals';
import { Catch, Controller, Get, UseFilters } from '@nestjs/common';
import type { ArgumentsHost, ExceptionFilter, INestApplication } from '@nestjs/common';
import { DatabaseModule, InjectQueryRunner } from 'nestjs-database';
import { DataSource, EventSubscriber } from 'typeorm';
import type { EntityManager, EntitySubscriberInterface, QueryRunner } from 'typeorm';
import type { AfterQueryEvent } from 'typeorm/subscriber/event/QueryEvent.js';
import { createTestDatabase } from '../support/database.js';
import type { TestDatabase } from '../support/database.js';
import { startHttpApp } from '../support/http-app.js';
import type { HttpApp } from '../support/http-app.js';
import { poolAtRest } from '../support/pool-at-rest.js';
import { User } from '../support/entities.js';
import { until } from '../support/until.js';

const INSERT = 'INSERT INTO users (name) VALUES ($1)';
const AFTER_QUERY = '/* released by its subscriber */ SELECT 1 AS one';

/** The action of the subscriber; reset before each test. */
const behaviour: { failNestedStart: boolean } = { failNestedStart: false };

@EventSubscriber()
class Subscriber implements EntitySubscriberInterface {
  beforeTransactionStart({ queryRunner }: { queryRunner: QueryRunner }): void {
    const { transactionDepth } = queryRunner as unknown as { transactionDepth: number };
    if (behaviour.failNestedStart && transactionDepth > 0) throw new Error('refused by the subscriber');
  }
  async afterQuery({ query, queryRunner }: AfterQueryEvent): Promise<void> {
    if (query === AFTER_QUERY) await queryRunner.release();
  }
}

const failure = (work: Promise<unknown>): Promise<any> =>
  work.then(
    () => undefined,
    (error: unknown) => error,
  );

/** A worker whose loop began with the app: its work runs outside the scope of every request. */
class Queue {
  private wake: (() => void) | undefined;
  private jobs: (() => Promise<unknown>)[] = [];
  private ended = false;
  readonly outcomes: unknown[] = [];
  readonly loop = this.run();

  push(job: () => Promise<unknown>): void {
    this.jobs.push(job);
    this.wake?.();
  }
  end(): void {
    this.ended = true;
    this.wake?.();
  }
  private async run(): Promise<void> {
    while (!this.ended) {
      await new Promise<void>((resolve) => (this.wake = resolve));
      for (const job of this.jobs.splice(0))
        this.outcomes.push(
          await job().then(
            () => 'done',
            (error: { code?: string }) => error.code,
          ),
        );
    }
  }
}

let queue: Queue;
let leaveRoom: Promise<void>;
let left: () => void;

/** Keeps the response open until the queue has done its work. */
@Catch()
class WaitingFilter implements ExceptionFilter {
  async catch(_error: unknown, host: ArgumentsHost): Promise<void> {
    await until(() => queue.outcomes.length > 0);
    host.switchToHttp().getResponse().status(500).json({});
  }
}

@Controller()
class LeavingController {
  constructor(@InjectQueryRunner() private readonly runner: QueryRunner) {}

  /** Begins a transaction, passes a part of its work to the queue, and fails. */
  @Get('leaving')
  @UseFilters(WaitingFilter)
  async leaving() {
    await this.runner.startTransaction();
    await this.runner.query(INSERT, ['first half']);
    queue.push(async () => {
      await leaveRoom;
      await this.runner.query(INSERT, ['second half']);
    });
    setImmediate(left);
    throw new Error('the rest of the handler');
  }

  /** One of two parallel parts of the transaction fails while the other one still runs. */
  @Get('siblings')
  async siblings() {
    let outcome: Promise<unknown> | undefined;
    await this.runner.manager
      .transaction((manager) => {
        outcome = (async () => {
          await manager.query('SELECT pg_sleep(0.05)');
          await manager.query(INSERT, ['too late']);
        })().catch((error: { code?: string }) => error.code);
        return Promise.all([outcome, Promise.reject(new Error('the sibling'))]);
      })
      .catch(() => undefined);
    return { code: await outcome, after: await this.runner.query('SELECT 1 AS one') };
  }

  @Get('parallel')
  async parallel() {
    const insert = (name: string) => (manager: EntityManager) => manager.query(INSERT, [name]);
    const { manager } = this.runner;
    const together = await Promise.allSettled([
      manager.transaction(insert('one')),
      manager.transaction(insert('two')),
    ]);
    // The second transaction begins while the first one is open.
    let begun!: () => void;
    const working = new Promise<void>((resolve) => (begun = resolve));
    let finish!: () => void;
    const finished = new Promise<void>((resolve) => (finish = resolve));
    const first = manager.transaction(async (inner) => {
      await inner.query(INSERT, ['three']);
      begun();
      await finished;
      await inner.transaction((nested) => nested.query(INSERT, ['nested in three']));
    });
    await working;
    const second = await failure(manager.transaction(insert('four')));
    finish();
    await first;
    return {
      together: together.map((outcome) => (outcome.status === 'rejected' ? outcome.reason.code : 'done')),
      second: second?.code,
    };
  }
}

describe('transactions', () => {
  let database: TestDatabase;
  let http: HttpApp;
  let app: INestApplication;
  let dataSource: DataSource;
  let url: string;

  const names = async () =>
    (await database.sql<{ name: string }>('SELECT name FROM users ORDER BY id')).map(({ name }) => name);
  const expectNothingLeased = async () => {
    await poolAtRest(app.get(DataSource));
  };

  beforeAll(async () => {
    database = await createTestDatabase();
    await database.sql('CREATE TABLE users (id serial PRIMARY KEY, name text NOT NULL)');
    await database.sql('ALTER TABLE users OWNER TO app');
    queue = new Queue();
    http = await startHttpApp({
      imports: [
        DatabaseModule.forRoot({
          url: database.url,
          entities: [User],
          subscribers: [Subscriber],
          pool: { size: 2, maxOverflow: 0, acquireTimeoutMs: 3000 },
        }),
      ],
      controllers: [LeavingController],
    });
    ({ app, url } = http);
    dataSource = app.get(DataSource);
  });
  beforeEach(async () => {
    behaviour.failNestedStart = false;
    leaveRoom = new Promise((resolve) => (left = resolve));
    await database.sql('TRUNCATE users');
  });
  afterAll(async () => {
    queue?.end();
    await http?.close();
    await database.drop();
  });

  const starts: [string, (manager: EntityManager) => Promise<unknown>][] = [
    ['the server refuses its savepoint', async (manager) => failure(manager.query('SELECT 1 / 0'))],
    [
      'a subscriber refuses it',
      async () => {
        behaviour.failNestedStart = true;
      },
    ],
  ];
  describe.each(starts)('whose nested transaction does not start, since %s', (_why, prepare) => {
    it.each([
      ['its error is swallowed', true],
      ['its error is swallowed, and that of the next statement too', false],
    ])('leave no row and reject, even if %s', async (_what, throws) => {
      const outcome = await failure(
        dataSource.transaction(async (manager) => {
          await manager.query(INSERT, ['before']);
          await prepare(manager);
          await failure(manager.transaction((nested) => nested.query(INSERT, ['nested'])));
          const next = await failure(manager.query(INSERT, ['after']));
          expect(next).toMatchObject({ code: 'TRANSACTION_ABORTED' });
          if (throws) throw next;
        }),
      );
      expect(outcome).toMatchObject({ code: 'TRANSACTION_ABORTED' });
      expect(await names()).toEqual([]);
      expect(await dataSource.query('SELECT 1 AS one')).toEqual([{ one: 1 }]);
    });

    it('leave no row on a manually used query runner', async () => {
      const runner = dataSource.createQueryRunner();
      await runner.startTransaction();
      await runner.query(INSERT, ['before']);
      await prepare(runner.manager);
      try {
        await runner.startTransaction();
        await runner.query(INSERT, ['nested']);
        await runner.commitTransaction();
      } catch {
        await runner.rollbackTransaction();
      }
      expect(await failure(runner.query(INSERT, ['after']))).toMatchObject({ code: 'TRANSACTION_ABORTED' });
      expect(await failure(runner.commitTransaction())).toMatchObject({ code: 'TRANSACTION_ABORTED' });
      // The rollback after a refused commit does nothing.
      await runner.rollbackTransaction();
      expect(runner.isTransactionActive).toBe(false);
      behaviour.failNestedStart = false;
      await runner.startTransaction();
      await runner.query(INSERT, ['the next one']);
      await runner.commitTransaction();
      await runner.release();
      expect(await names()).toEqual(['the next one']);
    });

    it('continue when the failed one was nested in a nested transaction that is rolled back', async () => {
      await dataSource.transaction(async (manager) => {
        await manager.query(INSERT, ['outer']);
        await failure(
          manager.transaction(async (nested) => {
            await nested.query(INSERT, ['nested']);
            await prepare(nested);
            await nested.transaction((innermost) => innermost.query(INSERT, ['innermost']));
          }),
        );
        await manager.query(INSERT, ['outer goes on']);
      });
      expect(await names()).toEqual(['outer', 'outer goes on']);
    });
  });

  it('can start again on the same runner after the connection was lost in a nested one', async () => {
    const runner = dataSource.createQueryRunner();
    const { manager } = runner;
    let tries = 0;
    const work = () =>
      manager.transaction(async (outer) => {
        tries += 1;
        await outer.query(INSERT, [`try ${tries}`]);
        await outer.transaction(async (nested) => {
          await nested.query(INSERT, [`nested in try ${tries}`]);
          if (tries === 1) await nested.query('SELECT pg_terminate_backend(pg_backend_pid())');
        });
      });
    expect(await failure(work())).toMatchObject({ code: '57P01' });
    expect(runner.isTransactionActive).toBe(false);
    await work();
    await runner.release();
    expect(await names()).toEqual(['try 2', 'nested in try 2']);
  });

  it('leave no row when the rollback of a nested one fails and the error is swallowed', async () => {
    const runner = dataSource.createQueryRunner();
    const query = runner.query.bind(runner);
    runner.query = ((sql: string, parameters?: unknown[]) =>
      sql.startsWith('ROLLBACK TO')
        ? Promise.reject(new Error('not today'))
        : query(sql, parameters)) as never;
    const outcome = await failure(
      runner.manager.transaction(async (manager) => {
        await manager.query(INSERT, ['before']);
        await failure(
          manager.transaction(async (nested) => {
            await nested.query(INSERT, ['nested']);
            throw new Error('the nested one fails');
          }),
        );
        await failure(manager.query(INSERT, ['after']));
      }),
    );
    expect(outcome).toMatchObject({ code: 'TRANSACTION_ABORTED' });
    expect(runner.isTransactionActive).toBe(false);
    await runner.release();
    expect(await names()).toEqual([]);
  });

  it('that are refused beside a running one neither end it nor prevent its rollback', async () => {
    for (const answers of [true, false]) {
      const runner = dataSource.createQueryRunner();
      const first = runner.startTransaction();
      expect(await failure(runner.startTransaction())).toMatchObject({ code: 'TRANSACTION_IN_PROGRESS' });
      if (answers) await runner.rollbackTransaction();
      await first;
      await runner.query(INSERT, ['of the first']);
      await runner.rollbackTransaction();
      expect(runner.isTransactionActive).toBe(false);
      await runner.release();
    }
    expect(await names()).toEqual([]);
  });

  it('reject the second of two concurrent ones on one query runner with a clear error', async () => {
    const body = await (await fetch(`${url}/parallel`)).json();
    expect(body).toEqual({
      together: ['done', 'TRANSACTION_IN_PROGRESS'],
      second: 'TRANSACTION_IN_PROGRESS',
    });
    expect(await names()).toEqual(['one', 'three', 'nested in three']);
  });

  it('refuse the work that a handler has passed to a queue whose loop started with the app', async () => {
    expect((await fetch(`${url}/leaving`)).status).toBe(500);
    await until(() => queue.outcomes.length > 0);
    expect(queue.outcomes.splice(0)).toEqual(['TRANSACTION_ROLLED_BACK']);
    await expectNothingLeased();
    expect(await names()).toEqual([]);
  });

  it('refuse the rest of a Promise.all whose transaction is rolled back', async () => {
    const body = await (await fetch(`${url}/siblings`)).json();
    expect(body).toEqual({ code: 'TRANSACTION_ROLLED_BACK', after: [{ one: 1 }] });
    expect(await names()).toEqual([]);
  });

  it('do not keep a runner that is released in afterQuery waiting for its own statement', async () => {
    const runner = dataSource.createQueryRunner();
    const since = performance.now();
    expect(await runner.query(AFTER_QUERY)).toEqual([{ one: 1 }]);
    expect(runner.isReleased).toBe(true);
    expect(performance.now() - since).toBeLessThan(1000);
    await expectNothingLeased();
  });

  it('do not keep release() waiting for a statement that continues to run', async () => {
    const runner = dataSource.createQueryRunner();
    const running = failure(runner.query('SELECT pg_sleep(60)'));
    await until(
      async () =>
        (await database.sql(`SELECT 1 FROM pg_stat_activity WHERE query LIKE 'SELECT pg_sleep(60)'`)).length >
        0,
    );
    const since = performance.now();
    await runner.release();
    expect(performance.now() - since).toBeLessThan(7_000);
    expect(await running).toBeInstanceOf(Error);
    await expectNothingLeased();
  });

  it.each([
    ['early', 1],
    ['before its first row', 0],
  ])("release the connection of a query builder's stream that is destroyed %s", async (_when, rows) => {
    await database.sql(`INSERT INTO users (name) SELECT 'user ' || n FROM generate_series(1, 1000) n`);
    for (let i = 0; i < 5; i++) {
      const stream = await dataSource.getRepository(User).createQueryBuilder('user').stream();
      if (rows > 0) await new Promise((resolve) => stream.once('data', resolve));
      stream.destroy();
      await expectNothingLeased();
    }
  });
});
