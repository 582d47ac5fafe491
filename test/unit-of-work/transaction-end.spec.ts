import { once } from 'node:events';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from '@jest/globals';
import { Catch, Controller, Get, Injectable, UseFilters } from '@nestjs/common';
import type {
  ArgumentsHost,
  CallHandler,
  ExceptionFilter,
  INestApplication,
  NestInterceptor,
} from '@nestjs/common';
import { APP_INTERCEPTOR } from '@nestjs/core';
import { DatabaseModule, InjectQueryRunner } from 'nestjs-database';
import { defer, from, mergeMap, NEVER, race, retry, throwError } from 'rxjs';
import type { Observable } from 'rxjs';
import { DataSource, EventSubscriber } from 'typeorm';
import type { EntityManager, EntitySubscriberInterface, QueryRunner } from 'typeorm';
import { createTestDatabase } from '../support/database.js';
import type { TestDatabase } from '../support/database.js';
import { startHttpApp } from '../support/http-app.js';
import type { HttpApp } from '../support/http-app.js';
import { poolAtRest } from '../support/pool-at-rest.js';
import { User } from '../support/entities.js';
import { until } from '../support/until.js';

const INSERT = 'INSERT INTO users (name) VALUES ($1)';

const outcome = (work: Promise<unknown>): Promise<unknown> =>
  work.then(
    () => 'done',
    (error: Error & { code?: string }) => error.code ?? error.message,
  );

type TransactionEvent = 'afterTransactionCommit' | 'beforeTransactionRollback' | 'afterTransactionRollback';
/** The event at which the subscriber throws, once. */
let failAt: TransactionEvent | undefined;
const at = (event: TransactionEvent) => {
  if (failAt !== event) return;
  failAt = undefined;
  throw new Error(`refused at ${event}`);
};

@EventSubscriber()
class Subscriber implements EntitySubscriberInterface {
  afterTransactionCommit(): void {
    at('afterTransactionCommit');
  }
  beforeTransactionRollback(): void {
    at('beforeTransactionRollback');
  }
  afterTransactionRollback(): void {
    at('afterTransactionRollback');
  }
}

interface Deferred {
  readonly promise: Promise<void>;
  resolve(): void;
}
function deferred(): Deferred {
  let resolve!: () => void;
  const promise = new Promise<void>((done) => (resolve = done));
  return { promise, resolve };
}

/** The work of the handler, which gets the number of its run in the request. */
let handle: (runner: QueryRunner, run: number) => Promise<unknown>;
let handleError: (runner: QueryRunner, error: unknown) => Promise<unknown>;
let runs: number;
/** Makes the interceptor abandon the first run of the handler. */
let giveUp: Deferred;
let retries: number;

/** Abandons a handler that takes too long, and may call it again. It is outside of the module's interceptor. */
@Injectable()
class GivingUp implements NestInterceptor {
  intercept(_context: unknown, next: CallHandler): Observable<unknown> {
    let subscriptions = 0;
    const tooLong = defer(() =>
      ++subscriptions > 1
        ? NEVER
        : from(giveUp.promise).pipe(mergeMap(() => throwError(() => new Error('takes too long')))),
    );
    return race(next.handle(), tooLong).pipe(retry(retries));
  }
}

@Catch()
class Filter implements ExceptionFilter {
  constructor(@InjectQueryRunner() private readonly runner: QueryRunner) {}
  async catch(error: unknown, host: ArgumentsHost): Promise<void> {
    const value = await handleError(this.runner, error).catch(({ message }: Error) => message);
    host.switchToHttp().getResponse().status(500).json({ value });
  }
}

@Controller()
class EndingController {
  constructor(@InjectQueryRunner() private readonly runner: QueryRunner) {}

  @Get('handled')
  @UseFilters(Filter)
  async handled() {
    runs += 1;
    return { value: await handle(this.runner, runs) };
  }
}

describe('the end of a transaction', () => {
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
  const request = async () => ((await (await fetch(`${url}/handled`)).json()) as { value?: unknown }).value;
  const insert = (name: string) => async (manager: EntityManager) => {
    await manager.query(INSERT, [name]);
  };
  const running = async (text: string) => {
    const find = `SELECT 1 FROM pg_stat_activity WHERE query = $1 AND state = 'active'`;
    await until(async () => (await database.sql(find, [text])).length > 0);
  };

  beforeAll(async () => {
    database = await createTestDatabase();
    await database.sql('CREATE TABLE users (id serial PRIMARY KEY, name text NOT NULL)');
    await database.sql('ALTER TABLE users OWNER TO app');
    await database.sql(`
      CREATE FUNCTION wait_at_commit() RETURNS trigger LANGUAGE plpgsql AS $$
        BEGIN PERFORM pg_advisory_xact_lock(4711); RETURN NULL; END $$`);
    await database.sql(`
      CREATE CONSTRAINT TRIGGER slow_commit AFTER INSERT ON users DEFERRABLE INITIALLY DEFERRED
        FOR EACH ROW WHEN (NEW.name = 'slow commit') EXECUTE FUNCTION wait_at_commit()`);
    http = await startHttpApp({
      imports: [
        DatabaseModule.forRoot({
          url: database.url,
          entities: [User],
          subscribers: [Subscriber],
          pool: { size: 2, maxOverflow: 0, acquireTimeoutMs: 3000 },
        }),
      ],
      providers: [{ provide: APP_INTERCEPTOR, useClass: GivingUp }],
      controllers: [EndingController],
    });
    ({ app, url } = http);
    dataSource = app.get(DataSource);
  });
  beforeEach(async () => {
    failAt = undefined;
    runs = 0;
    retries = 0;
    giveUp = deferred();
    handleError = (_runner, error) => Promise.resolve(String(error));
    await database.sql('TRUNCATE users');
  });
  afterEach(expectNothingLeased);
  afterAll(async () => {
    await http?.close();
    await database.drop();
  });

  describe('when a subscriber throws at it', () => {
    /** Swallows the error of a nested transaction, and returns its outcome and those of the later steps. */
    const afterNested =
      (nested: (manager: EntityManager) => Promise<unknown>) => async (runner: QueryRunner) => {
        const outcomes: unknown[] = [];
        const outer = await outcome(
          runner.manager.transaction(async (manager) => {
            await insert('outer')(manager);
            outcomes.push(await outcome(manager.transaction(nested)));
            outcomes.push(await outcome(insert('after nested')(manager)));
            outcomes.push(await outcome(manager.transaction(insert('second nested'))));
          }),
        );
        return [...outcomes, outer, await outcome(runner.manager.transaction(insert('next')))];
      };
    const failing = async (manager: EntityManager) => {
      await insert('nested')(manager);
      throw new Error('rolled back');
    };

    it('allows the next transaction after a commit', async () => {
      handle = async ({ manager }) => {
        failAt = 'afterTransactionCommit';
        return [
          await outcome(manager.transaction(insert('committed'))),
          await outcome(manager.transaction(insert('next'))),
        ];
      };
      expect(await request()).toEqual(['refused at afterTransactionCommit', 'done']);
      expect(await names()).toEqual(['committed', 'next']);
    });

    it('commits nothing of the outer transaction after the commit of a nested one, and sends nothing in autocommit', async () => {
      failAt = 'afterTransactionCommit';
      handle = afterNested(insert('nested'));
      expect(await request()).toEqual([
        'refused at afterTransactionCommit',
        'TRANSACTION_ABORTED',
        'TRANSACTION_ABORTED',
        'TRANSACTION_ABORTED',
        'done',
      ]);
      expect(await names()).toEqual(['next']);
    });

    it('commits nothing of the outer transaction of a manually used query runner either', async () => {
      const runner = dataSource.createQueryRunner();
      try {
        await runner.startTransaction();
        await runner.query(INSERT, ['outer']);
        failAt = 'afterTransactionCommit';
        try {
          await runner.startTransaction();
          await runner.query(INSERT, ['nested']);
          await runner.commitTransaction();
        } catch {
          await runner.rollbackTransaction();
        }
        expect(await outcome(runner.query(INSERT, ['after nested']))).toBe('TRANSACTION_ABORTED');
        expect(await outcome(runner.commitTransaction())).toBe('TRANSACTION_ABORTED');
      } finally {
        await runner.release();
      }
      expect(await names()).toEqual([]);
    });

    it('reports no commit after a nested transaction that was not rolled back', async () => {
      failAt = 'beforeTransactionRollback';
      handle = afterNested(failing);
      expect(await request()).toEqual([
        'rolled back',
        'TRANSACTION_ABORTED',
        'TRANSACTION_ABORTED',
        'TRANSACTION_ABORTED',
        'done',
      ]);
      expect(await names()).toEqual(['next']);
    });

    it('continues the outer transaction after a nested one that was rolled back', async () => {
      failAt = 'afterTransactionRollback';
      handle = afterNested(failing);
      expect(await request()).toEqual(['rolled back', 'done', 'done', 'done', 'done']);
      expect(await names()).toEqual(['outer', 'after nested', 'second nested', 'next']);
    });
  });

  it('ends all nested transactions when the connection is lost in the innermost one', async () => {
    handle = async ({ manager }) => [
      await outcome(
        manager.transaction((outer) =>
          outer.transaction((nested) =>
            nested.transaction((innermost) =>
              innermost.query('SELECT pg_terminate_backend(pg_backend_pid())'),
            ),
          ),
        ),
      ),
      await outcome(manager.transaction(insert('next'))),
    ];
    expect(await request()).toEqual(['57P01', 'done']);
    expect(await names()).toEqual(['next']);
  });

  it('is not confused with the end of a transaction beside which another one did not start', async () => {
    handle = async (runner) => {
      const first = (async () => {
        await runner.startTransaction();
        await runner.query(INSERT, ['first']);
        await runner.rollbackTransaction();
      })();
      // The caller does not roll back.
      const second = await outcome(runner.startTransaction());
      await first;
      await outcome(
        (async () => {
          await runner.startTransaction();
          await runner.query(INSERT, ['acknowledged']);
          await runner.commitTransaction();
          acknowledged = true;
        })(),
      );
      return second;
    };
    let acknowledged = false;
    expect(await request()).toBe('TRANSACTION_IN_PROGRESS');
    expect(await names()).toEqual(acknowledged ? ['acknowledged'] : []);
  });

  describe('of an abandoned handler', () => {
    const ways: [
      string,
      (runner: QueryRunner, work: (runner: QueryRunner) => Promise<void>) => Promise<void>,
    ][] = [
      [
        'manager.transaction()',
        (runner, work) => runner.manager.transaction(({ queryRunner }) => work(queryRunner!)),
      ],
      [
        'startTransaction()',
        async (runner, work) => {
          await runner.startTransaction();
          try {
            await work(runner);
            await runner.commitTransaction();
          } catch (error) {
            await runner.rollbackTransaction();
            throw error;
          }
        },
      ],
    ];
    const leftovers: [string, (runner: QueryRunner) => Promise<unknown>][] = [
      ['a statement', (runner) => runner.query(INSERT, ['left over'])],
      ['its commit', () => Promise.resolve()],
      ['its rollback', () => Promise.reject(new Error('left over'))],
    ];
    for (const [way, transact] of ways)
      it.each(leftovers)(`does not touch the next one with %s (${way})`, async (_what, leftover) => {
        retries = 1;
        const began = deferred();
        const done = deferred();
        handle = (runner, run) =>
          transact(runner, async (inner) => {
            await inner.query(INSERT, [`run ${run}`]);
            if (run === 1) {
              giveUp.resolve();
              await began.promise;
              await leftover(inner);
            } else {
              began.resolve();
              await done.promise;
              await inner.query(INSERT, ['end of run 2']);
            }
          }).finally(() => {
            if (run === 1) done.resolve();
          });
        expect(await request()).toBeUndefined();
        await expectNothingLeased();
        expect(await names()).toEqual(['run 2', 'end of run 2']);
      });

    it('does not touch the next transaction while its COMMIT still runs', async () => {
      retries = 1;
      const lock = dataSource.createQueryRunner();
      await lock.query('SELECT pg_advisory_lock(4711)');
      let first: Promise<unknown> | undefined;
      handle = ({ manager }, run) => {
        if (run > 1)
          return manager.transaction(async (inner) => {
            await insert('run 2')(inner);
            await first;
            await insert('end of run 2')(inner);
          });
        first = outcome(manager.transaction(insert('slow commit')));
        return first;
      };
      const answer = request();
      await running('COMMIT');
      giveUp.resolve();
      await new Promise(setImmediate);
      await lock.query('SELECT pg_advisory_unlock(4711)');
      await lock.release();
      expect(await answer).toBeUndefined();
      expect(await first).toBe('done');
      expect(await names()).toEqual(['slow commit', 'run 2', 'end of run 2']);
    });

    it('does not touch the next transaction while its start still waits for a connection', async () => {
      retries = 1;
      const others = [dataSource.createQueryRunner(), dataSource.createQueryRunner()];
      for (const other of others) await other.connect();
      let first: Promise<unknown> | undefined;
      handle = ({ manager }, run) => {
        if (run > 1) return manager.transaction(insert('run 2'));
        first = outcome(manager.transaction(insert('run 1')));
        setImmediate(giveUp.resolve);
        void first.then(() => others.map((other) => other.release()));
        return first;
      };
      expect(await request()).toBeUndefined();
      expect(await first).toBe('POOL_ACQUIRE_CANCELLED');
      expect(await names()).toEqual(['run 2']);
    });

    it('makes the rollback of an exception filter a no-op', async () => {
      handle = async (runner) => {
        await runner.startTransaction();
        await runner.query(INSERT, ['rolled back']);
        throw new Error('for the filter');
      };
      handleError = (runner) => runner.rollbackTransaction();
      expect(await request()).toBeUndefined();
      expect(await names()).toEqual([]);
    });
  });

  it('does not wait for the stream that a handler has left open', async () => {
    let stream: Awaited<ReturnType<QueryRunner['stream']>>;
    handle = async (runner) => {
      stream = await runner.stream('SELECT generate_series(1, 100000)');
      throw new Error('for the filter');
    };
    handleError = async ({ manager }) => {
      const transaction = manager.transaction(async (inner) => {
        await insert('filter')(inner);
        if (!stream.closed) await once(stream, 'close');
        await insert('end of filter')(inner);
      });
      stream.destroy();
      await transaction;
    };
    expect(await request()).toBeUndefined();
    expect(await names()).toEqual(['filter', 'end of filter']);
  });

  it('does not end work that was started in it on another query runner', async () => {
    const over = deferred();
    let job: Promise<unknown> | undefined;
    handle = () =>
      dataSource.transaction(async (manager) => {
        await insert('transaction')(manager);
        const runner = dataSource.createQueryRunner();
        const saved = deferred();
        job = outcome(
          (async () => {
            await runner.manager.save(User, { name: 'before' });
            saved.resolve();
            await over.promise;
            await runner.manager.save(User, { name: 'after' });
            await runner.release();
          })(),
        );
        await saved.promise;
      });
    expect(await request()).toBeUndefined();
    over.resolve();
    expect(await job).toBe('done');
    expect((await names()).sort()).toEqual(['after', 'before', 'transaction']);
  });
});
