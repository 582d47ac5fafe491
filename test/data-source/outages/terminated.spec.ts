import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from '@jest/globals';
import { Body, Controller, Get, Post } from '@nestjs/common';
import { DatabaseModule, InjectQueryRunner, ManagedDataSource } from 'nestjs-database';
import type { DatabaseModuleOptions } from 'nestjs-database';
import { DataSource, Repository } from 'typeorm';
import type { QueryRunner } from 'typeorm';
import { InjectRepository } from 'nestjs-database';
import { User } from '../../support/entities.js';
import { startHttpApp } from '../../support/http-app.js';
import type { HttpApp } from '../../support/http-app.js';
import { startPostgres } from '../../support/postgres-server.js';
import type { PostgresServer } from '../../support/postgres-server.js';
import { until } from '../../support/until.js';

const CLIENTS = 12;
const ROUNDS = 10;

@Controller()
class LoadController {
  constructor(
    private readonly dataSource: DataSource,
    @InjectRepository(User) private readonly users: Repository<User>,
  ) {}

  @Get('read')
  read() {
    return this.users.findBy({ name: 'a reader' });
  }

  @Get('slow-read')
  slowRead() {
    return this.dataSource.query('SELECT pg_sleep(0.02), count(*)::int AS count FROM users');
  }

  @Post('write')
  write(@Body('key') key: string) {
    return this.dataSource.query('INSERT INTO writes (key) VALUES ($1) RETURNING key', [key]);
  }

  @Post('write-by-builder')
  writeByBuilder(@Body('key') key: string) {
    return this.dataSource.createQueryBuilder().insert().into('writes').values({ key }).execute();
  }
}

@Controller()
class RequestController {
  constructor(@InjectQueryRunner() private readonly runner: QueryRunner) {}

  @Post('write-in-request')
  write(@Body('key') key: string) {
    return this.runner.query('INSERT INTO writes (key) VALUES ($1) RETURNING key', [key]);
  }
}

describe('statements that the server terminated', () => {
  let server: PostgresServer;
  let http: HttpApp;

  const start = async (options: DatabaseModuleOptions = {}) => {
    http = await startHttpApp({
      imports: [
        DatabaseModule.forRoot({
          url: server.url,
          entities: [User],
          applicationName: 'terminated',
          pool: { size: 4, maxOverflow: 2, acquireTimeoutMs: 10_000 },
          ...options,
        }),
        DatabaseModule.forFeature([User]),
      ],
      controllers: [LoadController, RequestController],
    });
  };
  const pool = () => http.app.get<DataSource, ManagedDataSource>(DataSource).pool!;
  const dataSource = () => http.app.get(DataSource);
  const terminateAll = () =>
    server.sql(
      `SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE application_name = 'terminated'`,
      [],
      'postgres',
    );
  const codeOf = (work: Promise<unknown>) =>
    work.then(
      () => 'done',
      (error: { code?: string }) => error.code,
    );

  beforeAll(async () => {
    server = await startPostgres();
    await server.sql('CREATE TABLE users (id serial PRIMARY KEY, name text NOT NULL)');
    await server.sql('CREATE TABLE writes (key text)');
    await server.sql('ALTER TABLE users OWNER TO app; ALTER TABLE writes OWNER TO app');
    await server.sql('CREATE PROCEDURE nothing() LANGUAGE sql AS $$ SELECT pg_sleep(60) $$');
  });
  beforeEach(async () => {
    await server.sql('TRUNCATE writes');
  });
  afterEach(() => http.close());
  afterAll(() => server.dispose());

  /**
   * Runs reads and single writes of `CLIENTS` clients while `disturb` runs, and returns each failure and each acknowledged
   * key. `served` waits for a number of further acknowledged writes, or for a failed request.
   */
  const load = async (disturb: (served: (writes: number) => Promise<unknown>) => Promise<unknown>) => {
    const failures: unknown[] = [];
    const acknowledged: string[] = [];
    let on = true;
    const post = (path: string, key: string) =>
      http.fetch(path, {
        method: 'POST',
        headers: { 'content-type': 'application/json' },
        body: JSON.stringify({ key }),
      });
    const writes = ['/write', '/write-by-builder', '/write-in-request'];
    const clients = Array.from({ length: CLIENTS }, async (_, client) => {
      for (let turn = 0; on; turn++) {
        const key = `${client}-${turn}`;
        const path =
          turn % 3 === 0 ? '/read' : turn % 3 === 1 ? '/slow-read' : (writes[(client + turn) % 3] as string);
        const { status, body } = turn % 3 === 2 ? await post(path, key) : await http.fetch(path);
        if (status >= 400) failures.push({ path, status, body });
        else if (turn % 3 === 2) acknowledged.push(key);
      }
    });
    await disturb((writes) => {
      const goal = acknowledged.length + writes;
      return until(() => acknowledged.length >= goal || failures.length > 0);
    });
    on = false;
    await Promise.all(clients);
    const rows = await server.sql<{ key: string }>('SELECT key FROM writes');
    return { failures, acknowledged: acknowledged.sort(), written: rows.map(({ key }) => key).sort() };
  };

  it('fail no request under a load of reads and single writes, each of which takes effect once', async () => {
    await start();
    const { failures, acknowledged, written } = await load(async (served) => {
      for (let round = 0; round < ROUNDS; round++) {
        await served(11);
        await terminateAll();
      }
    });
    expect(failures).toEqual([]);
    expect(acknowledged.length).toBeGreaterThan(100);
    expect(written).toEqual(acknowledged);
    expect(pool().snapshot().counters.destroyed.broken).toBeGreaterThan(ROUNDS);
  }, 60_000);

  it('fail no request during fast restarts of the server, and each acknowledged write takes effect once', async () => {
    await start();
    const { failures, acknowledged, written } = await load(async (served) => {
      for (let round = 0; round < 3; round++) {
        await served(7);
        await server.stop('fast');
        await server.start();
        await served(7);
      }
    });
    expect(failures).toEqual([]);
    expect(acknowledged.length).toBeGreaterThan(20);
    expect(written).toEqual(acknowledged);
  }, 60_000);

  /** Runs `work`, and terminates its backend once the statement has run for this time. */
  const terminated = async (text: string, work: Promise<unknown>, after = '0 s') => {
    const outcome = codeOf(work);
    const { pid } = await until(async () => {
      const [row] = await server.sql<{ pid: number }>(
        `SELECT pid FROM pg_stat_activity WHERE application_name = 'terminated' AND state = 'active' AND query = $1
          AND clock_timestamp() - query_start >= $2::interval`,
        [text, after],
      );
      return row;
    });
    await server.sql('SELECT pg_terminate_backend($1)', [pid], 'postgres');
    return outcome;
  };

  it.each([
    ['a procedure, which may commit inside', 'CALL nothing()'],
    ['a block, which may commit inside', 'DO $$ BEGIN PERFORM pg_sleep(60); END $$'],
    ['a utility statement', 'EXPLAIN ANALYZE SELECT pg_sleep(60)'],
    ['several statements in one text', 'SELECT 1; SELECT pg_sleep(60)'],
  ])('are not sent again: %s', async (_what, text) => {
    await start();
    expect(await terminated(text, dataSource().query(text))).toBe('57P01');
  });

  it('are not sent again in a transaction, nor when the session has state that another connection lacks', async () => {
    await start();
    const text = 'SELECT pg_sleep(60)';
    expect(
      await terminated(
        text,
        dataSource().transaction((manager) => manager.query(text)),
      ),
    ).toBe('57P01');
    const runner = dataSource().createQueryRunner();
    await runner.query('BEGIN');
    expect(await terminated(text, runner.query(text))).toBe('57P01');
    await runner.release();
    for (const prepare of [
      (given: QueryRunner) => given.query(`SET application_name = 'terminated'`),
      (given: QueryRunner) => given.connect(),
    ]) {
      const changed = dataSource().createQueryRunner();
      await prepare(changed);
      expect(await terminated(text, changed.query(text))).toBe('57P01');
      // Until its release, the runner does not acquire another connection.
      expect(await codeOf(changed.query('SELECT 1'))).toBe('57P01');
      await changed.release();
    }
  });

  it('are not sent again after a statement that may have changed the lost session', async () => {
    await start();
    const runner = dataSource().createQueryRunner();
    await runner.query('SELECT 1');
    const text = `DO $$ BEGIN EXECUTE 'SET search_path TO tenant'; PERFORM pg_sleep(60); END $$`;
    const change = runner.query(text);
    const write = codeOf(runner.query(`INSERT INTO writes (key) VALUES ('of the tenant')`));
    expect(await terminated(text, change)).toBe('57P01');
    expect(await write).toBe('57P01');
    await runner.release();
    expect(await server.sql('SELECT key FROM writes')).toEqual([]);
  });

  it('are sent again together when none of them depends on the lost session', async () => {
    await start();
    const runner = dataSource().createQueryRunner();
    await runner.query('SELECT 1');
    const text = 'SELECT pg_sleep(0.5)';
    const read = runner.query(text);
    const write = codeOf(runner.query(`INSERT INTO writes (key) VALUES ('behind a read')`));
    expect(await terminated(text, read)).toBe('done');
    expect(await write).toBe('done');
    await runner.release();
    expect(await server.sql('SELECT key FROM writes')).toEqual([{ key: 'behind a read' }]);
  });

  it('are sent again after they have run for longer than the acquire timeout', async () => {
    await start({ pool: { size: 1, maxOverflow: 0, acquireTimeoutMs: 1_000 } });
    const text = 'SELECT pg_sleep(1.5)';
    expect(await terminated(text, dataSource().query(text), '1.1 s')).toBe('done');
  });

  it('are sent again once, with the log lines of one statement', async () => {
    await start({ echo: true });
    const text = 'SELECT pg_sleep(0.5), 1 AS again';
    let sent = 0;
    pool().on('acquire', () => (sent += 1));
    expect(await terminated(text, dataSource().query(text))).toBe('done');
    expect(sent).toBe(2);
    expect(http.logger.text.split(text)).toHaveLength(2);
    expect(http.logger.text).not.toMatch(/failed after/);
  });

  it('fail with the error of the server when the second session is terminated as well', async () => {
    await start();
    expect(await codeOf(dataSource().query('SELECT pg_terminate_backend(pg_backend_pid())'))).toBe('57P01');
  });

  it('are not sent again with retryTerminated: false, nor after a crash', async () => {
    await start({ retryTerminated: false });
    const text = 'SELECT pg_sleep(60)';
    expect(await terminated(text, dataSource().query(text))).toBe('57P01');
    await http.close();
    await start();
    const crashed = codeOf(dataSource().query(text));
    await until(
      async () =>
        (await server.sql(`SELECT 1 FROM pg_stat_activity WHERE state = 'active' AND query = $1`, [text]))
          .length > 0,
    );
    await server.stop('immediate');
    // The server announces an immediate stop by a warning only. The socket ends, and the outcome is unknown.
    expect(await crashed).toBeUndefined();
    await server.start();
  });
});
