import { spawn } from 'node:child_process';
import type { ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { Agent, get } from 'node:http';
import { afterAll, afterEach, beforeAll, describe, expect, it } from '@jest/globals';
import { Test } from '@nestjs/testing';
import { DatabaseModule } from 'nestjs-database';
import { CapturingLogger } from '../support/capturing-logger.js';
import { createTestDatabase } from '../support/database.js';
import type { TestDatabase } from '../support/database.js';

describe('SIGTERM', () => {
  let database: TestDatabase;
  let child: ChildProcess;
  let output: string;
  let url: string;

  const start = async (env: Record<string, string> = {}) => {
    output = '';
    child = spawn(
      process.execPath,
      ['--import', './test/support/typescript.mjs', 'test/module/shutdown-app.ts'],
      {
        env: { PATH: process.env.PATH, NO_COLOR: '1', DB_URL: database.url, ...env },
        stdio: ['ignore', 'pipe', 'pipe'],
      },
    );
    for (const stream of [child.stdout, child.stderr])
      stream?.on('data', (chunk: Buffer) => (output += chunk.toString()));
    while (!output.includes('listening on ')) {
      if (child.exitCode !== null) throw new Error(output);
      await new Promise(setImmediate);
    }
    url = /listening on (\S+)/.exec(output)![1]!;
  };
  const ended = () => once(child, 'exit') as Promise<[code: number | null, signal: string | null]>;
  const running = async (query: string) => {
    const rows = await database.sql(
      `SELECT 1 FROM pg_stat_activity WHERE application_name = 'shutdown' AND state = 'active' AND query LIKE $1`,
      [`${query}%`],
    );
    return rows.length;
  };
  const connections = () =>
    database.sql(`SELECT 1 FROM pg_stat_activity WHERE application_name = 'shutdown'`);
  const request = (path: string, agent?: Agent) =>
    new Promise<number | string>((resolve) => {
      get(url + path, { agent }, (response) => {
        response.resume().on('end', () => resolve(response.statusCode ?? 0));
      }).on('error', (error: NodeJS.ErrnoException) => resolve(error.code ?? error.message));
    });

  beforeAll(async () => {
    database = await createTestDatabase();
  });
  afterEach(async () => {
    if (child.exitCode === null && child.signalCode === null) {
      child.kill('SIGKILL');
      await ended();
    }
  });
  afterAll(async () => {
    await database.drop();
  });

  it('lets twenty requests in flight finish, is not held by keep-alive connections, and leaves no session', async () => {
    await start();
    const agent = new Agent({ keepAlive: true, maxSockets: 20 });
    const answers = Array.from({ length: 20 }, () => request('/second', agent));
    while ((await running('SELECT pg_sleep(1)')) < 20);
    const since = performance.now();
    child.kill('SIGTERM');
    const [code, signal] = await ended();
    // The rest of the second; kept-alive connections would add the five seconds after which Node ends them.
    expect(performance.now() - since).toBeLessThan(4500);
    expect(await Promise.all(answers)).toEqual(Array<number>(20).fill(200));
    expect([code, signal]).toEqual([null, 'SIGTERM']);
    expect(await connections()).toEqual([]);
    agent.destroy();
  });

  it('cancels a query that never ends after DB_SHUTDOWN_TIMEOUT, and says so', async () => {
    await start({ DB_SHUTDOWN_TIMEOUT: '500ms' });
    const answer = request('/forever');
    while ((await running('SELECT pg_sleep(600)')) < 1);
    child.kill('SIGTERM');
    const [, signal] = await ended();
    expect(signal).toBe('SIGTERM');
    expect(await answer).toBe(500);
    expect(await connections()).toEqual([]);
  });

  it('a second time does no harm', async () => {
    await start();
    const answer = request('/second');
    while ((await running('SELECT pg_sleep(1)')) < 1);
    child.kill('SIGTERM');
    child.kill('SIGTERM');
    await ended();
    expect(await answer).toBe(200);
    expect(await connections()).toEqual([]);
  });

  it('while the database is not there yet ends the start', async () => {
    const { PATH } = process.env;
    child = spawn(
      process.execPath,
      ['--import', './test/support/typescript.mjs', 'test/module/shutdown-app.ts'],
      {
        env: { PATH, NO_COLOR: '1', DB_URL: 'postgres://app:x@127.0.0.1:1/app' },
        stdio: ['ignore', 'pipe', 'pipe'],
      },
    );
    output = '';
    for (const stream of [child.stdout, child.stderr])
      stream?.on('data', (chunk: Buffer) => (output += chunk.toString()));
    while (!output.includes('Trying again')) await new Promise(setImmediate);
    child.kill('SIGTERM');
    expect(await ended()).toEqual([null, 'SIGTERM']);
  });
});

describe('app.close()', () => {
  it('twice, and at the same time, closes once and does not hang', async () => {
    const database = await createTestDatabase();
    const module = await Test.createTestingModule({
      imports: [DatabaseModule.forRoot({ url: database.url })],
    })
      .setLogger(new CapturingLogger())
      .compile();
    await module.init();
    await Promise.all([module.close(), module.close()]);
    await module.close();
    await database.drop();
  });
});
