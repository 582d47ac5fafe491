import { spawn } from 'node:child_process';
import type { ChildProcessWithoutNullStreams } from 'node:child_process';
import { once } from 'node:events';
import { text as readAll } from 'node:stream/consumers';
import { afterAll, afterEach, beforeAll, describe, expect, it } from '@jest/globals';
import { createTestDatabase } from '../../support/database.js';
import type { TestDatabase } from '../../support/database.js';
import { until } from '../../support/until.js';

/** An app that migrates at its start. It waits for a line before, so that all processes start at once. */
const SCRIPT = `
  import 'reflect-metadata';
  import { NestFactory } from '@nestjs/core';
  import { DatabaseModule } from 'nestjs-database';
  class CreateBooks1700000000001 {
    async up(runner) {
      await runner.query('CREATE TABLE books (id int, label text)');
      await runner.query('INSERT INTO books SELECT n, n::text FROM generate_series(1, 1000) AS n');
    }
    async down() {}
  }
  class IndexBooks1700000000002 {
    transaction = false;
    async up(runner) {
      await runner.query('CREATE INDEX CONCURRENTLY books_label ON books (label)');
    }
    async down() {}
  }
  class CountBooks1700000000003 {
    async up(runner) {
      // Fails while another process is in the middle of this migration.
      await runner.query("DO $$ BEGIN IF NOT pg_try_advisory_xact_lock(42) THEN RAISE 'overlap'; END IF; END $$");
      await runner.query('INSERT INTO books VALUES (0, NULL)');
      await runner.query("SELECT pg_sleep(" + process.env.TEST_SLEEP + ")");
    }
    async down() {}
  }
  class AppModule {}
  console.log('ready');
  await new Promise((resolve) => process.stdin.once('data', resolve));
  const app = await NestFactory.createApplicationContext({ module: AppModule, imports: [DatabaseModule.forRoot({
    url: process.env.TEST_URL,
    applicationName: process.env.TEST_NAME,
    pool: { size: 1, maxOverflow: 1 },
    migrations: [CreateBooks1700000000001, IndexBooks1700000000002, CountBooks1700000000003],
    migrationsRun: true,
  })] }, { logger: ['error'] });
  await app.close();
  process.exit(0);
`;

describe('ten processes that start at once', () => {
  let database: TestDatabase;
  const children: ChildProcessWithoutNullStreams[] = [];

  const startAll = async (sleepSeconds: number) => {
    for (let number = 0; number < 10; number++)
      children.push(
        spawn(process.execPath, ['--input-type=module', '-e', SCRIPT], {
          env: {
            ...process.env,
            NODE_OPTIONS: '',
            TEST_URL: database.url,
            TEST_NAME: `worker ${number}`,
            TEST_SLEEP: String(sleepSeconds),
          },
          stdio: 'pipe',
        }),
      );
    await Promise.all(children.map((child) => once(child.stdout, 'data')));
    const ends = children.map(async (child) => {
      const [said, [code, signal]] = await Promise.all([readAll(child.stderr), once(child, 'exit')]);
      return [(code ?? signal) as unknown, said];
    });
    for (const child of children) child.stdin.write('go');
    return ends;
  };
  const expectMigrated = async () => {
    expect(
      await database.sql(
        'SELECT count(*)::int AS count, count(*) FILTER (WHERE id = 0)::int AS zeros FROM books',
      ),
    ).toEqual([{ count: 1_001, zeros: 1 }]);
    expect(
      await database.sql(`SELECT indisvalid FROM pg_index WHERE indexrelid = 'books_label'::regclass`),
    ).toEqual([{ indisvalid: true }]);
    expect(await database.sql('SELECT id, name FROM migrations ORDER BY id')).toMatchObject([
      { name: 'CreateBooks1700000000001' },
      { name: 'IndexBooks1700000000002' },
      { name: 'CountBooks1700000000003' },
    ]);
  };

  beforeAll(async () => {
    database = await createTestDatabase();
  });
  afterEach(async () => {
    for (const child of children.splice(0)) child.kill('SIGKILL');
    await database.sql('DROP TABLE books, migrations');
  });
  afterAll(() => database.drop());

  it('migrate once, and none fails', async () => {
    const ends = await startAll(0);
    expect(await Promise.all(ends)).toEqual(Array(10).fill([0, '']));
    await expectMigrated();
  }, 90_000);

  it('migrate once when the one that migrates is killed in the middle of a migration', async () => {
    const ends = await startAll(1.5);
    const [{ name } = { name: '' }] = await until(async () => {
      const sleeping = await database.sql<{ name: string }>(
        `SELECT application_name AS name FROM pg_stat_activity WHERE query LIKE 'SELECT pg_sleep%' AND state = 'active'`,
      );
      return sleeping.length > 0 && sleeping;
    });
    const killed = Number(name.replace('worker ', ''));
    children[killed]!.kill('SIGKILL');
    const results = await Promise.all(ends);
    expect(results[killed]).toEqual(['SIGKILL', '']);
    expect(results.filter((_, number) => number !== killed)).toEqual(Array(9).fill([0, '']));
    await expectMigrated();
  }, 90_000);
});
