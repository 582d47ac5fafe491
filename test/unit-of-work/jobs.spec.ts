import { once } from 'node:events';
import type { ServerResponse } from 'node:http';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from '@jest/globals';
import { Controller, Get, Res } from '@nestjs/common';
import { DatabaseModule, DatabaseMonitor } from 'nestjs-database';
import { DataSource, EntityManager } from 'typeorm';
import { createTestDatabase } from '../support/database.js';
import type { TestDatabase } from '../support/database.js';
import { User } from '../support/entities.js';
import { startHttpApp } from '../support/http-app.js';
import type { HttpApp } from '../support/http-app.js';

const JOBS = [1, 2, 3, 4, 5];

/** The job that the handler starts and does not await. */
let work: () => Promise<unknown>;
let working: Promise<unknown> | undefined;
let responseClosed: Promise<unknown> | undefined;

@Controller()
class StartingController {
  @Get('starting')
  start(@Res({ passthrough: true }) response: ServerResponse) {
    responseClosed = once(response, 'close');
    working = work();
    return 'started';
  }
}

describe('jobs of an app that serves requests, as many as there are connections', () => {
  let database: TestDatabase;
  let http: HttpApp;

  /** Resolves for all callers once there are this many of them. */
  const gathering = (count: number) => {
    let come = 0;
    let open = () => {};
    const all = new Promise<void>((resolve) => (open = resolve));
    return () => {
      if (++come === count) open();
      return all;
    };
  };

  beforeAll(async () => {
    database = await createTestDatabase();
    await database.sql('CREATE TABLE users (id serial PRIMARY KEY, name text NOT NULL)');
    await database.sql('ALTER TABLE users OWNER TO app');
  });
  beforeEach(async () => {
    await database.sql('TRUNCATE users');
    http = await startHttpApp({
      imports: [
        DatabaseModule.forRoot({
          url: database.url,
          entities: [User],
          pool: { size: 5, maxOverflow: 0, acquireTimeoutMs: 20_000 },
        }),
      ],
      controllers: [StartingController],
    });
  });
  afterEach(() => http.close());
  afterAll(() => database.drop());

  const starts: [string, (job: (manager: EntityManager) => Promise<void>) => Promise<void>][] = [
    ['dataSource.transaction', (job) => http.app.get(DataSource).transaction(job)],
    ['transaction of an isolation level', (job) => http.app.get(DataSource).transaction('SERIALIZABLE', job)],
    ['transaction of an injected manager', (job) => http.app.get(EntityManager).transaction(job)],
    [
      "transaction of a repository's manager",
      (job) => http.app.get(DataSource).getRepository(User).manager.transaction(job),
    ],
  ];
  it.each(starts)(
    'that ask for a second one within a %s do not stand still: one fails soon, the others go on',
    async (_name, transaction) => {
      const everybodyHoldsOne = gathering(JOBS.length);
      const since = performance.now();
      const outcomes = await Promise.allSettled(
        JOBS.map((job) =>
          transaction(async (manager) => {
            await manager.query('INSERT INTO users (name) VALUES ($1)', [`job ${job}`]);
            await everybodyHoldsOne();
            await http.app.get(DataSource).query('SELECT 1');
          }),
        ),
      );
      expect(performance.now() - since).toBeLessThan(5000);
      const failed = outcomes.filter((outcome) => outcome.status === 'rejected');
      expect(failed.map(({ reason }) => reason.code)).toEqual(['POOL_SELF_DEADLOCK']);
      expect(await database.sql('SELECT count(*)::int AS count FROM users')).toEqual([{ count: 4 }]);
      expect(http.app.get(DatabaseMonitor).poolStats()).toMatchObject({ checkedOut: 0, waiting: 0 });
    },
  );

  it('do not share their transactions when they run side by side', async () => {
    const everybodyHoldsOne = gathering(JOBS.length);
    // Ten jobs for five connections: the second five wait for the first five, which need no second connection.
    await Promise.all(
      [...JOBS, ...JOBS].map((job) =>
        http.app.get(DataSource).transaction(async (manager) => {
          await everybodyHoldsOne();
          await manager.query('INSERT INTO users (name) VALUES ($1)', [`job ${job}`]);
        }),
      ),
    );
    expect(await database.sql('SELECT count(*)::int AS count FROM users')).toEqual([{ count: 10 }]);
  });

  /** One idle transaction for each connection, and one more transaction, which must wait for a release. */
  const oneTooMany = async (begin: Promise<unknown>) => {
    await begin;
    const dataSource = http.app.get(DataSource);
    const everybodyHoldsOne = gathering(JOBS.length + 1);
    const oneMoreAsks = gathering(JOBS.length + 1);
    const holding = JOBS.map(() =>
      dataSource.transaction(async (manager) => {
        await manager.query('SELECT 1');
        void everybodyHoldsOne();
        await oneMoreAsks();
      }),
    );
    await everybodyHoldsOne();
    const oneMore = dataSource.transaction((manager) => manager.query('SELECT 2 AS two'));
    void oneMoreAsks();
    const [two] = await Promise.all([oneMore, ...holding]);
    return two as unknown;
  };

  it('do not belong to the transaction that started them once it has ended', async () => {
    const over = gathering(2);
    await http.app.get(DataSource).transaction(async (manager) => {
      await manager.query('SELECT 1');
      working = oneTooMany(over());
    });
    void over();
    expect(await working).toEqual([{ two: 2 }]);
  });

  it('do not belong to the request that started them once it has ended', async () => {
    const over = gathering(2);
    work = () => oneTooMany(over());
    expect(await http.fetch('/starting')).toMatchObject({ status: 200 });
    await responseClosed;
    void over();
    expect(await working).toEqual([{ two: 2 }]);
  });
});
