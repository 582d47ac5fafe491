import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from '@jest/globals';
import { DatabaseModule, ManagedDataSource } from 'nestjs-database';
import type { DatabaseModuleOptions } from 'nestjs-database';
import { CannotExecuteNotConnectedError, DataSource, EventSubscriber } from 'typeorm';
import type { EntitySubscriberInterface } from 'typeorm';
import { startHttpApp } from '../support/http-app.js';
import type { HttpApp } from '../support/http-app.js';
import { startPostgres } from '../support/postgres-server.js';
import type { PostgresServer } from '../support/postgres-server.js';
import { makeShareable as makeStatementShareable, sharingOf } from '../support/shareable.js';
import { until } from '../support/until.js';

const BY_ID = 'SELECT id, name FROM users WHERE id = $1';

/** Answers before a statement is sent, but not in the same turn of the event loop. */
@EventSubscriber()
class Slow implements EntitySubscriberInterface {
  async beforeQuery() {
    await new Promise((resolve) => setTimeout(resolve, 2));
  }
}

let mayStart: Promise<void> | undefined;

/** Delays the start of a transaction. */
@EventSubscriber()
class SlowStart implements EntitySubscriberInterface {
  async beforeTransactionStart() {
    await mayStart;
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
        pool: { size: 4, maxOverflow: 0 },
        multiplex: { connections: 2 },
        ...options,
      }),
    ],
  });
  dataSource = http.app.get(DataSource);
}

const sharing = () => sharingOf(dataSource.pool!);

const makeShareable = (text = BY_ID) =>
  makeStatementShareable(dataSource.pool!, () => dataSource.query(text, [1]));

beforeAll(async () => {
  server = await startPostgres();
}, 60_000);
afterAll(() => server.dispose());
beforeEach(async () => {
  await server.sql(`DROP TABLE IF EXISTS users; CREATE TABLE users (id serial PRIMARY KEY, name text);
    INSERT INTO users (name) SELECT 'user ' || g FROM generate_series(1, 100) g;
    GRANT ALL ON users TO app; GRANT ALL ON users_id_seq TO app`);
});
afterEach(() => http.close());

describe('a query runner with multiplexing', () => {
  it('rejects a statement after the data source was closed, and does not throw', async () => {
    await start();
    const runner = dataSource.createQueryRunner();
    await dataSource.destroy();
    const answer = runner.query(BY_ID, [1]);
    await expect(answer).rejects.toThrow(CannotExecuteNotConnectedError);
  });

  it('rejects the first statement of a lazy data source once, while its server is down', async () => {
    const unhandled: unknown[] = [];
    const listener = (reason: unknown) => unhandled.push(reason);
    process.on('unhandledRejection', listener);
    try {
      await start({ startup: 'lazy', url: 'postgres://u:p@127.0.0.1:1/db' });
      await expect(dataSource.query(BY_ID, [1])).rejects.toThrow('ECONNREFUSED');
      // Node.js reports a rejection when its microtasks have run.
      await new Promise(setImmediate);
      expect(unhandled).toEqual([]);
    } finally {
      process.off('unhandledRejection', listener);
    }
  });

  it('begins a transaction while the statement before it moves to a shared connection', async () => {
    await start({ multiplex: { connections: 1 }, pool: { size: 2, maxOverflow: 0 } });
    await makeShareable();
    await until(() => sharing().connections === 0);
    const holders = [dataSource.createQueryRunner(), dataSource.createQueryRunner()] as const;
    await Promise.all(holders.map((holder) => holder.connect()));
    const runner = dataSource.createQueryRunner();
    const first = runner.query(BY_ID, [1]);
    const started = runner.startTransaction();
    await holders[0].release();
    await holders[1].release();
    await started;
    expect(await first).toEqual([{ id: 1, name: 'user 1' }]);
    expect(runner.isTransactionActive).toBe(true);
    await runner.query('UPDATE users SET name = $1 WHERE id = $2', ['new', 1]);
    await runner.commitTransaction();
    await runner.release();
    expect(await dataSource.query(BY_ID, [1])).toEqual([{ id: 1, name: 'new' }]);
  });

  it('begins a transaction although the acquire of the statement before it has failed', async () => {
    await start({
      subscribers: [SlowStart],
      multiplex: { connections: 1 },
      pool: { size: 2, maxOverflow: 0, acquireTimeoutMs: 1_000 },
    });
    await makeShareable();
    await until(() => sharing().connections === 0);
    const holders = [dataSource.createQueryRunner(), dataSource.createQueryRunner()] as const;
    await Promise.all(holders.map((holder) => holder.connect()));
    let letStart!: () => void;
    mayStart = new Promise((resolve) => (letStart = resolve));
    const runner = dataSource.createQueryRunner();
    const first = runner.query(BY_ID, [1]);
    const started = runner.startTransaction();
    await expect(first).rejects.toMatchObject({ code: 'POOL_ACQUIRE_TIMEOUT' });
    await Promise.all(holders.map((holder) => holder.release()));
    letStart();
    await started;
    await runner.query('UPDATE users SET name = $1 WHERE id = $2', ['new', 1]);
    await runner.commitTransaction();
    await runner.release();
    expect(await dataSource.query(BY_ID, [1])).toEqual([{ id: 1, name: 'new' }]);
  });

  it('leaves no lease when it is released while a subscriber delays its statements', async () => {
    await start({ subscribers: [Slow] });
    await makeShareable();
    const runner = dataSource.createQueryRunner();
    const answers = Promise.all([runner.query(BY_ID, [1]), runner.query(BY_ID, [2])]);
    await runner.release();
    expect(await answers).toEqual([[{ id: 1, name: 'user 1' }], [{ id: 2, name: 'user 2' }]]);
    expect(dataSource.pool!.snapshot().leased).toBe(0);
  });

  it('leaves no lease when it is connected and released while its statements wait', async () => {
    await start();
    await makeShareable();
    // Of four connections, two are idle beside the shared ones.
    await Promise.all([1, 2, 3].map(() => dataSource.query('SELECT pg_sleep(0.01)')));
    const runner = dataSource.createQueryRunner();
    const answers = Promise.all([
      runner.query(BY_ID, [1]),
      runner.query('UPDATE users SET name = $1 WHERE id = $2', ['new', 1]),
      runner.query(BY_ID, [1]),
    ]);
    const connected = runner.connect();
    await runner.release();
    await connected;
    expect((await answers)[2]).toEqual([{ id: 1, name: 'new' }]);
    expect(dataSource.pool!.snapshot().leased).toBe(0);
  });

  it('leaves no lease when a stream outlasts the statements that are sent after the release', async () => {
    await start({ subscribers: [Slow] });
    await makeShareable();
    await Promise.all([1, 2, 3].map(() => dataSource.query('SELECT pg_sleep(0.01)')));
    const runner = dataSource.createQueryRunner();
    const answers = Promise.all([runner.query(BY_ID, [1]), runner.query(BY_ID, [2])]);
    // The release destroys it. It closes when the server has answered.
    const stream = await runner.stream('SELECT pg_sleep(0.2), $1::int', [3]);
    stream.read();
    const closed = new Promise<void>((resolve) => stream.once('close', () => resolve()));
    await runner.release();
    expect(await answers).toEqual([[{ id: 1, name: 'user 1' }], [{ id: 2, name: 'user 2' }]]);
    expect(dataSource.pool!.snapshot().leased).toBe(1);
    await closed;
    await until(() => dataSource.pool!.snapshot().leased === 0);
  });
});

describe('the end of a data source with multiplexing', () => {
  it('logs the statements on shared connections that it waits for, and the connections that it closes', async () => {
    await start({ timeouts: { shutdownMs: 1_000 }, multiplex: { connections: 1 } });
    await makeShareable();
    const lock = 'BEGIN; LOCK TABLE users IN ACCESS EXCLUSIVE MODE; SELECT pg_sleep(60)';
    const locked = server.sql(lock).catch(() => undefined);
    const sessions = (where: string) =>
      server.sql<{ pid: number }>(`SELECT pid FROM pg_stat_activity WHERE ${where}`);
    await until(async () => (await sessions(`wait_event = 'PgSleep'`)).length);
    const blocked = Promise.allSettled([dataSource.query(BY_ID, [1]), dataSource.query(BY_ID, [2])]);
    await dataSource.destroy();
    expect(await blocked).toMatchObject([1, 2].map(() => ({ reason: { code: 'POOL_CLOSED' } })));
    expect(http.logger.text).toContain(
      'Waiting at most 1.0 s for 0 connection(s) in use, 2 statement(s) on shared connections',
    );
    expect(http.logger.text).toMatch(
      /1 connection\(s\) were still in use after 1000 ms .* and were closed: a shared one/,
    );
    for (const { pid } of await sessions(`wait_event = 'PgSleep'`))
      await server.sql('SELECT pg_terminate_backend($1)', [pid]);
    await locked;
  });
});
