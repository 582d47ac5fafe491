import { spawnSync } from 'node:child_process';
import { afterEach, beforeAll, describe, expect, it } from '@jest/globals';
import { createTestDatabase } from '../support/database.js';
import type { TestDatabase } from '../support/database.js';
import { freePort } from '../support/ports.js';
import { RunningExample, root } from './running-example.js';

describe('npm start', () => {
  const examples: RunningExample[] = [];
  const databases: TestDatabase[] = [];

  beforeAll(() => {
    // Jest does not build the package; after `npm test`, it is built already.
    const { status } = spawnSync(process.execPath, ['scripts/build-once.mjs'], {
      cwd: root,
      stdio: 'inherit',
    });
    expect(status).toBe(0);
  }, 120_000);

  afterEach(async () => {
    await Promise.all(examples.splice(0).map((example) => example.discard()));
    await Promise.all(databases.splice(0).map((database) => database.drop()));
  });

  async function start(environment?: Record<string, string>): Promise<RunningExample> {
    const example = RunningExample.launch(environment);
    examples.push(example);
    await example.ready();
    return example;
  }

  async function database(): Promise<TestDatabase> {
    const created = await createTestDatabase();
    databases.push(created);
    return created;
  }

  async function expectLinesToAnswer(example: RunningExample): Promise<void> {
    const answers: unknown[] = [];
    for (const line of example.lines) answers.push(await example.paste(line));
    const ada = { id: 1, name: 'Ada', balance: 7500 };
    const grace = { id: 2, name: 'Grace', balance: 2500 };
    const alan = { id: 3, name: 'Alan', balance: 5000 };
    expect(answers).toEqual([
      expect.objectContaining({
        status: 'ok',
        info: { db: expect.objectContaining({ status: 'up', latency_ms: expect.any(Number) }) },
      }),
      alan,
      [{ ...ada, balance: 10_000 }, { ...grace, balance: 0 }, alan],
      { ...ada, balance: 10_000 },
      { from: ada, to: grace },
      expect.objectContaining({ statusCode: 409 }),
      [ada, grace, alan],
      expect.objectContaining({ statusCode: 400 }),
      expect.objectContaining({ statusCode: 404 }),
    ]);
  }

  describe('without DB_URL', () => {
    it('runs its own PostgreSQL, prints commands that work, and leaves no process or folder after Ctrl-C', async () => {
      const example = await start();
      expect(example.servers).toHaveLength(1);
      await expectLinesToAnswer(example);
      await example.stop('SIGINT');
      expect(example.servers).toEqual([]);
    });

    it('leaves no process or folder when only npm receives the signal', async () => {
      const example = await start();
      await example.stop('SIGTERM', 'npm');
      expect(example.servers).toEqual([]);
    });

    it('can run twice at the same time, each on a free port', async () => {
      const both = await Promise.all([start(), start()]);
      expect(new Set(both.map(({ url }) => url)).size).toBe(2);
      await Promise.all(both.map(expectLinesToAnswer));
      await Promise.all(both.map((example) => example.stop('SIGINT')));
      expect(both.flatMap((example) => example.servers)).toEqual([]);
    });

    it('listens on PORT and reports when the port is taken', async () => {
      const port = await freePort();
      const example = await start({ PORT: String(port) });
      expect(example.url).toBe(`http://127.0.0.1:${port}`);
      const second = RunningExample.launch({ PORT: String(port) });
      examples.push(second);
      expect(await second.exit()).toBe(1);
      expect(second.output).toContain(`Port ${port} is in use: set PORT to another one`);
      expect(second.servers).toEqual([]);
    });

    it('refuses an invalid PORT', async () => {
      const launched = ['abc', '99999', '-1'].map((port) => ({
        port,
        example: RunningExample.launch({ PORT: port }),
      }));
      examples.push(...launched.map(({ example }) => example));
      for (const { port, example } of launched) {
        expect(await example.exit()).toBe(1);
        expect(example.output).toContain(`PORT is "${port}", not a number from 0 to 65535`);
      }
    });
  });

  describe('with DB_URL', () => {
    it('uses that server and starts none', async () => {
      const { url, sql } = await database();
      const example = await start({ DB_URL: url });
      expect(example.servers).toEqual([]);
      expect(example.output).not.toContain(new URL(url).password);
      await expectLinesToAnswer(example);
      await example.stop('SIGINT');
      expect(await sql('SELECT name, balance FROM example_users ORDER BY id')).toEqual([
        { name: 'Ada', balance: '7500' },
        { name: 'Grace', balance: '2500' },
        { name: 'Alan', balance: '5000' },
      ]);
    });

    it('continues with the data of an earlier run', async () => {
      const { url } = await database();
      const first = await start({ DATABASE_URL: url });
      await expectLinesToAnswer(first);
      await first.stop('SIGINT');
      const second = await start({ DATABASE_URL: url });
      const answers = [];
      for (const line of second.lines) answers.push(await second.paste(line));
      expect(answers[4]).toEqual({
        from: { id: 1, name: 'Ada', balance: 5000 },
        to: { id: 3, name: 'Alan', balance: 7500 },
      });
      expect(answers[5]).toMatchObject({ statusCode: 409 });
      await second.stop('SIGINT');
    });

    it('ends immediately with a non-zero status when the URL is invalid', async () => {
      const example = RunningExample.launch({ DB_URL: 'mysql://root:hunter2@127.0.0.1/app' });
      examples.push(example);
      expect(await example.exit()).toBe(1);
      expect(example.output).toContain('DB_URL');
      expect(example.output).not.toContain('hunter2');
    });
  });

  describe('its API', () => {
    it('answers wrong input with 400 and unknown users with 404', async () => {
      const example = await start({ DB_URL: (await database()).url });
      const bad: [string, unknown?][] = [
        ['/users', '{'],
        ['/users', []],
        ['/users', {}],
        ['/users', { name: ' ' }],
        ['/users', { name: 'x'.repeat(101) }],
        ['/users', { name: 'zero\0byte' }],
        ['/users', { name: 'Ada', balance: 0.5 }],
        ['/users', { name: 'Ada', balance: '5' }],
        ['/users?after=x'],
        ['/users/abc'],
        ['/users/1e3'],
        ['/users/0'],
        ['/users/99999999999'],
        ['/transfers', { from: 1, to: 1, amount: 1 }],
        ['/transfers', { from: 1, to: 2, amount: 0 }],
        ['/transfers', { from: 1, to: 2, amount: -5 }],
        ['/transfers', { from: '1', to: 2, amount: 5 }],
      ];
      const statuses = await Promise.all(
        bad.map(async ([path, body]) => (await example.send(path, body)).status),
      );
      expect(statuses).toEqual(bad.map(() => 400));
      expect((await example.send('/users/77')).status).toBe(404);
      expect((await example.send('/transfers', { from: 1, to: 77, amount: 1 })).status).toBe(404);
    });

    it('keeps the sum after concurrent transfers in both directions, and leaves no transaction open', async () => {
      const { url, sql } = await database();
      const example = await start({ DB_URL: url });
      const transfers = Array.from({ length: 60 }, (_, index) => {
        const [from, to] = index % 2 ? [1, 2] : [2, 1];
        return example.send('/transfers', { from, to, amount: 100 + index });
      });
      const statuses = (await Promise.all(transfers)).map(({ status }) => status);
      expect(statuses.filter((status) => status !== 201 && status !== 409)).toEqual([]);
      expect(await sql('SELECT sum(balance) FROM example_users')).toEqual([{ sum: '10000' }]);
      expect(
        await sql(
          "SELECT state FROM pg_stat_activity WHERE datname = current_database() AND state LIKE 'idle in%'",
        ),
      ).toEqual([]);
      expect(example.output).not.toContain('left open');
    });

    it('reports a dropped database as down, with 503', async () => {
      const { url, drop } = await database();
      const example = await start({ DB_URL: url });
      await drop();
      const { status, body } = await example.send('/health/db');
      expect(status).toBe(503);
      expect(body).toMatchObject({ status: 'error', error: { db: { status: 'down' } } });
    });
  });
});
