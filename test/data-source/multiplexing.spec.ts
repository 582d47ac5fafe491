import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from '@jest/globals';
import { Controller, Get, Param } from '@nestjs/common';
import { DatabaseModule, InjectQueryRunner, ManagedDataSource } from 'nestjs-database';
import type { DatabaseModuleOptions } from 'nestjs-database';
import fc from 'fast-check';
import { DataSource, EventSubscriber, QueryFailedError } from 'typeorm';
import type { EntitySubscriberInterface, QueryRunner } from 'typeorm';
import type { AfterQueryEvent, BeforeQueryEvent } from 'typeorm/subscriber/event/QueryEvent.js';
import { User } from '../support/entities.js';
import { startHttpApp } from '../support/http-app.js';
import type { HttpApp } from '../support/http-app.js';
import { startPostgres } from '../support/postgres-server.js';
import type { PostgresServer } from '../support/postgres-server.js';
import {
  makeShareable as makeStatementShareable,
  sharedBy as statementsSharedBy,
  sharingOf,
} from '../support/shareable.js';
import { until } from '../support/until.js';

const BY_ID = 'SELECT id, name FROM users WHERE id = $1';

const events: unknown[][] = [];

@EventSubscriber()
class QueryEvents implements EntitySubscriberInterface {
  beforeQuery({ query, parameters }: BeforeQueryEvent) {
    events.push(['before', query, parameters]);
  }
  afterQuery({ query, success, rawResults, error }: AfterQueryEvent) {
    events.push(['after', query, success, (rawResults as { rows?: unknown } | undefined)?.rows, error?.code]);
  }
}

/** Sets a variable of the session before the statements of a runner with a tenant. */
@EventSubscriber()
class Tenant implements EntitySubscriberInterface {
  async beforeQuery({ query, queryRunner }: BeforeQueryEvent) {
    const { tenant } = queryRunner.data as { tenant?: string };
    if (tenant && !query.includes('set_config'))
      await queryRunner.query("SELECT set_config('app.tenant', $1, false)", [tenant]);
  }
}

@Controller()
class UserController {
  constructor(@InjectQueryRunner() private readonly runner: QueryRunner) {}

  @Get('user/:id')
  user(@Param('id') id: string) {
    return this.runner.query(BY_ID, [id]);
  }

  @Get('several')
  several() {
    return Promise.all([1, 2, 3].map((id) => this.runner.query(BY_ID, [id])));
  }
}

let server: PostgresServer;
let http: HttpApp;
let dataSource: ManagedDataSource;

async function start(options: DatabaseModuleOptions = {}): Promise<void> {
  http = await startHttpApp({
    imports: [
      DatabaseModule.forRoot({
        url: server.url,
        entities: [User],
        pool: { size: 4, maxOverflow: 0 },
        multiplex: { connections: 2 },
        ...options,
      }),
    ],
    controllers: [UserController],
  });
  dataSource = http.app.get(DataSource);
  await makeShareable(() => dataSource.query(BY_ID, [1]));
}

const sharing = () => sharingOf(dataSource.pool!);

const sharedBy = (work: () => Promise<unknown>) => statementsSharedBy(dataSource.pool!, work);
const makeShareable = (work: () => Promise<unknown>) => makeStatementShareable(dataSource.pool!, work);

beforeAll(async () => {
  server = await startPostgres();
}, 60_000);
afterAll(() => server.dispose());
beforeEach(async () => {
  events.length = 0;
  await server.sql(`DROP TABLE IF EXISTS users; CREATE TABLE users (id serial PRIMARY KEY, name text);
    INSERT INTO users (name) SELECT 'user ' || g FROM generate_series(1, 100) g;
    GRANT ALL ON users TO app; GRANT ALL ON users_id_seq TO app`);
});
afterEach(() => http.close());

describe('multiplexing in a data source', () => {
  it('shares the statements of dataSource.query, repositories, query builders and request runners', async () => {
    await start();
    const users = dataSource.getRepository(User);
    const works = [
      () => dataSource.query(BY_ID, [3]),
      () => users.findOneBy({ id: 3 }),
      () => users.createQueryBuilder('u').where('u.id = :id', { id: 3 }).getMany(),
      () => http.fetch('/user/3'),
    ];
    for (const work of works) await makeShareable(work);
    expect(await users.findOneBy({ id: 3 })).toEqual({ id: 3, name: 'user 3' });
    expect((await http.fetch('/several')).body).toEqual([1, 2, 3].map((id) => [{ id, name: `user ${id}` }]));
    expect(dataSource.pool!.snapshot().leased).toBe(0);
  });

  it('shares none inside a transaction, on a pinned runner, and after a changed session', async () => {
    await start();
    const shared = await sharedBy(async () => {
      await dataSource.transaction(async (manager) => {
        await manager.query(BY_ID, [1]);
        await manager.getRepository(User).findOneBy({ id: 1 });
      });
      const runner = dataSource.createQueryRunner();
      await runner.connect();
      await runner.query(BY_ID, [1]);
      await runner.release();
      const other = dataSource.createQueryRunner();
      await other.query("SET TimeZone = 'Asia/Tokyo'");
      await other.query(BY_ID, [1]);
      await other.release();
    });
    expect(shared).toBe(0);
  });

  it('keeps the order of the statements of one runner', async () => {
    await start();
    const runner = dataSource.createQueryRunner();
    const [before, , after] = await Promise.all([
      runner.query(BY_ID, [1]),
      runner.query('UPDATE users SET name = $1 WHERE id = 1', ['new']),
      runner.query(BY_ID, [1]),
    ]);
    await runner.release();
    expect([before, after]).toEqual([[{ id: 1, name: 'user 1' }], [{ id: 1, name: 'new' }]]);
  });

  it('keeps the order of the statements of one runner when the first one is sent again on a connection of its own', async () => {
    await start();
    const star = 'SELECT * FROM users WHERE id = $1';
    await makeShareable(() => dataSource.query(star, [1]));
    await server.sql('ALTER TABLE users ADD extra int');
    const runner = dataSource.createQueryRunner();
    const [before] = await Promise.all([
      runner.query(star, [1]),
      runner.query('UPDATE users SET name = $1 WHERE id = 1', ['new']),
    ]);
    await runner.release();
    expect(before).toEqual([{ id: 1, name: 'user 1', extra: null }]);
  });

  it('begins a transaction after the statements that its runner has sent before', async () => {
    await start();
    const runner = dataSource.createQueryRunner();
    const [, updated] = await Promise.all([
      runner.query(BY_ID, [1]),
      runner.query('UPDATE users SET name = $1 WHERE id = $2', ['new', 1]),
      runner.startTransaction(),
    ]);
    expect(updated).toEqual([[], 1]);
    await runner.rollbackTransaction();
    await runner.release();
    expect(await dataSource.query(BY_ID, [1])).toEqual([{ id: 1, name: 'new' }]);
  });

  it('opens a stream after the statements that its runner has sent before', async () => {
    await start();
    const runner = dataSource.createQueryRunner();
    const [, , stream] = await Promise.all([
      runner.query(BY_ID, [1]),
      runner.query('UPDATE users SET name = $1 WHERE id = $2', ['new', 1]),
      runner.stream(BY_ID, [1]),
    ]);
    expect(await stream.toArray()).toEqual([{ id: 1, name: 'new' }]);
    await runner.release();
  });

  it('completes the statements of a runner that is released meanwhile, as on one connection', async () => {
    await start();
    const runner = dataSource.createQueryRunner();
    const answers = Promise.all([
      runner.query(BY_ID, [1]),
      runner.query('UPDATE users SET name = $1 WHERE id = $2', ['new', 1]),
      runner.query(BY_ID, [1]),
    ]);
    await runner.release();
    expect((await answers)[2]).toEqual([{ id: 1, name: 'new' }]);
    await expect(runner.query(BY_ID, [1])).rejects.toThrow('Query runner already released');
    expect(dataSource.pool!.snapshot().leased).toBe(0);
  });

  it('sends a statement of a subscriber on the same runner, and the statement after it on the same connection', async () => {
    await start({ subscribers: [Tenant] });
    const text = `SELECT current_setting('app.tenant', true) AS tenant, $1::int AS id`;
    await makeShareable(() => dataSource.query(text, [1]));
    for (let id = 1; id < 5; id += 1) {
      const runner = dataSource.createQueryRunner();
      runner.data = { tenant: `tenant ${id}` };
      expect(await runner.query(text, [id])).toEqual([{ tenant: `tenant ${id}`, id }]);
      await runner.release();
    }
  });

  it('sends a statement that is issued while the one before it moves to a shared connection', async () => {
    await start({ multiplex: { connections: 1 }, pool: { size: 2, maxOverflow: 0 } });
    await until(() => sharing().connections === 0);
    const holders = [dataSource.createQueryRunner(), dataSource.createQueryRunner()] as const;
    await Promise.all(holders.map((holder) => holder.connect()));
    const runner = dataSource.createQueryRunner();
    const first = runner.query(BY_ID, [1]);
    await holders[0].release();
    const second = runner.query('UPDATE users SET name = $1 WHERE id = $2', ['new', 1]);
    await holders[1].release();
    expect(await Promise.all([first, second])).toEqual([[{ id: 1, name: 'user 1' }], [[], 1]]);
    await runner.release();
  });

  it('executes the statements of each runner in the order in which they were sent, also while the schema changes', async () => {
    await start();
    await server.sql(`DROP TABLE IF EXISTS counter; CREATE TABLE counter (id int PRIMARY KEY, n int);
      INSERT INTO counter SELECT g, 0 FROM generate_series(1, 1000) g; GRANT ALL ON counter TO app`);
    const read = 'SELECT * FROM counter WHERE id = $1';
    await makeShareable(() => dataSource.query(read, [1]));
    const { shared } = sharing();
    let lastId = 1;
    const program = fc.array(fc.constantFrom('read', 'read', 'read', 'write'), {
      maxLength: 12,
    });
    const programs = fc.array(program, { minLength: 1, maxLength: 8 });
    await fc.assert(
      fc.asyncProperty(programs, fc.boolean(), async (given, changesSchema) => {
        const running = given.map(async (steps) => {
          const id = (lastId += 1);
          const runner = dataSource.createQueryRunner();
          let writes = 0;
          const answers: Promise<unknown>[] = [];
          const expected: unknown[] = [];
          for (const step of steps) {
            if (step === 'write') {
              writes += 1;
              answers.push(runner.query('UPDATE counter SET n = n + 1 WHERE id = $1', [id]));
              expected.push([[], 1]);
            } else {
              const rows = runner.query(read, [id]) as Promise<{ n: number }[]>;
              answers.push(rows.then(([row]) => row!.n));
              expected.push(writes);
            }
          }
          await Promise.allSettled(answers);
          await runner.release();
          expect(await Promise.all(answers)).toEqual(expected);
        });
        if (changesSchema)
          await server.sql('ALTER TABLE counter ADD extra int; ALTER TABLE counter DROP extra');
        await Promise.all(running);
        expect(dataSource.pool!.snapshot()).toMatchObject({ leased: 0, waiting: 0 });
      }),
      { numRuns: 40 },
    );
    expect(sharing().shared).toBeGreaterThan(shared + 10);
  }, 60_000);

  it('emits the same events, log lines and results as a connection of its own', async () => {
    const seen: unknown[][] = [];
    for (const multiplex of [{ connections: 2 }, false] as const) {
      if (seen.length > 0) await http.close();
      await start({ multiplex: { connections: 2 }, subscribers: [QueryEvents], echo: true });
      if (!multiplex) {
        await http.close();
        http = await startHttpApp({
          imports: [
            DatabaseModule.forRoot({
              url: server.url,
              entities: [User],
              subscribers: [QueryEvents],
              echo: true,
            }),
          ],
        });
        dataSource = http.app.get(DataSource);
        await dataSource.query('SELECT 1');
      }
      events.length = 0;
      const from = http.logger.lines.length;
      const rows = await dataSource.query(BY_ID, [5]);
      const runner = dataSource.createQueryRunner();
      const structured = await runner.query(BY_ID, [6], true);
      await runner.release();
      const error = await dataSource.query(BY_ID, ['x']).catch((thrown: unknown) => thrown);
      const lines = http.logger.lines.slice(from).map(({ message }) => message.replace(/[\d.]+ ms/, 'n ms'));
      expect(error).toBeInstanceOf(QueryFailedError);
      const { message, code, query, parameters, driverError } = error as QueryFailedError &
        Record<string, unknown>;
      expect((error as Error).stack).toContain('multiplexing.spec.ts');
      seen.push([
        rows,
        { ...structured },
        message,
        code,
        query,
        parameters,
        { ...driverError },
        [...events],
        lines,
      ]);
    }
    expect(seen[0]).toEqual(seen[1]);
    expect(seen[0]!.at(-2)).toHaveLength(6);
  });

  /** Shares statements that wait for a lock, and one more. */
  async function inFlight(count: number, more?: () => unknown) {
    const locker = dataSource.createQueryRunner();
    await locker.startTransaction();
    await locker.query('LOCK TABLE users IN ACCESS EXCLUSIVE MODE');
    const { shared } = sharing();
    const running = Array.from({ length: count }, (_, index) => dataSource.query(BY_ID, [index + 1]));
    more?.();
    expect(sharing().shared).toBe(shared + count + (more ? 1 : 0));
    await until(async () => (await blockedSessions()).length > 0);
    return { running, unlock: () => locker.rollbackTransaction().then(() => locker.release()) };
  }

  const blockedSessions = () =>
    server.sql<{ pid: number }>(
      `SELECT pid FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND query LIKE 'SELECT id, name%'`,
    );

  it('sends each statement once more when the server has terminated the session', async () => {
    await start({ multiplex: { connections: 1 } });
    const { running, unlock } = await inFlight(3);
    for (const { pid } of await blockedSessions()) await server.sql('SELECT pg_terminate_backend($1)', [pid]);
    await until(() => sharing().connections === 0);
    await unlock();
    expect(await Promise.all(running)).toEqual([1, 2, 3].map((id) => [{ id, name: `user ${id}` }]));
  });

  it('shares terminated statements again when more of them wait than connections can be opened', async () => {
    await start({ multiplex: { connections: 1 } });
    const { shared } = sharing();
    const { running, unlock } = await inFlight(16);
    for (const { pid } of await blockedSessions()) await server.sql('SELECT pg_terminate_backend($1)', [pid]);
    // Each connection that the pool can open has one of them.
    await until(async () => (await blockedSessions()).length === 3);
    await unlock();
    expect(await Promise.all(running)).toHaveLength(16);
    expect(sharing().shared).toBeGreaterThan(shared + 16);
  });

  it('rejects each statement once with the error of the server when terminated statements are not repeated', async () => {
    await start({ multiplex: { connections: 1 }, retryTerminated: false });
    const { running, unlock } = await inFlight(3);
    for (const { pid } of await blockedSessions()) await server.sql('SELECT pg_terminate_backend($1)', [pid]);
    const reasons = (await Promise.allSettled(running)).map(
      (outcome) => (outcome as PromiseRejectedResult).reason,
    );
    for (const reason of reasons) {
      expect(reason).toBeInstanceOf(QueryFailedError);
      expect(reason.code).toBe('57P01');
    }
    expect(new Set(reasons.map(({ driverError }) => driverError)).size).toBe(3);
    await unlock();
  });

  it('rejects the caller of a disconnected request, and cancels no statement of another one', async () => {
    await start({ multiplex: { connections: 1 }, cancelOnDisconnect: true });
    const runner = dataSource.createQueryRunner() as QueryRunner & {
      runnerConnection: { cancelRunning(): Promise<void> };
    };
    let cancelled!: Promise<unknown>;
    const { running, unlock } = await inFlight(2, () => (cancelled = runner.query(BY_ID, [9])));
    void runner.runnerConnection.cancelRunning();
    await expect(cancelled).rejects.toMatchObject({ code: '57014' });
    await unlock();
    expect(await Promise.all(running)).toHaveLength(2);
    await runner.release();
  });

  it('says at the start how many connections are shared', async () => {
    await start();
    expect(http.logger.text).toContain('pool 4 + 0, 2 shared, ');
  });
});

describe('the setting multiplex', () => {
  const startWith = (options: DatabaseModuleOptions) =>
    startHttpApp({ imports: [DatabaseModule.forRoot({ url: server.url, ...options })] });

  it('is refused behind a pooler, without prepared statements, and when each session is cleared', async () => {
    http = await startHttpApp({});
    await expect(startWith({ multiplex: { connections: 2 }, pooler: 'transaction' })).rejects.toThrow(
      /multiplex\.connections: 2 shares connections, which the pooler \(pooler: transaction\) does already/,
    );
    await expect(startWith({ multiplex: { connections: 2 }, preparedStatements: false })).rejects.toThrow(
      /preparedStatements is false/,
    );
    await expect(startWith({ multiplex: { connections: 2 }, pool: { reset: 'discard' } })).rejects.toThrow(
      /pool\.reset: discard clears it/,
    );
    await expect(
      startWith({
        url: 'postgres://u:p@ep-cool-1-pooler.eu-central-1.aws.neon.tech/db',
        multiplex: { connections: 2 },
      }),
    ).rejects.toThrow(/the pooler of Neon/);
  });
});
