import { spawn } from 'node:child_process';
import type { ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { Agent, get } from 'node:http';
import { afterAll, afterEach, beforeAll, describe, expect, it } from '@jest/globals';
import { Test } from '@nestjs/testing';
import { DatabaseModule } from 'nestjs-database';
import pg from 'pg';
import { CapturingLogger } from '../support/capturing-logger.js';
import { createTestDatabase } from '../support/database.js';
import type { TestDatabase } from '../support/database.js';
import { until } from '../support/until.js';

describe('SIGTERM', () => {
  let database: TestDatabase;
  let child: ChildProcess;
  let output: string;
  let url: string;

  const launch = async (env: Record<string, string>, said: string) => {
    output = '';
    child = spawn(
      process.execPath,
      ['--import', './test/support/typescript.mjs', 'test/module/shutdown-app.ts'],
      { env: { PATH: process.env.PATH, NO_COLOR: '1', ...env }, stdio: ['ignore', 'pipe', 'pipe'] },
    );
    for (const stream of [child.stdout, child.stderr])
      stream?.on('data', (chunk: Buffer) => (output += chunk.toString()));
    await until(() => {
      if (child.exitCode !== null) throw new Error(output);
      return output.includes(said);
    });
  };
  const start = async (env: Record<string, string> = {}) => {
    await launch({ DB_URL: database.url, ...env }, 'listening on ');
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
  /** Keeps the requests to `/locked` in flight until the returned function is called. */
  const lock = async () => {
    const holder = new pg.Client(database.superuserUrl);
    await holder.connect();
    await holder.query('SELECT pg_advisory_lock(1)');
    return () => holder.end();
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
    const unlock = await lock();
    const agent = new Agent({ keepAlive: true, maxSockets: 20 });
    const answers = Array.from({ length: 20 }, () => request('/locked', agent));
    await until(async () => (await running('SELECT pg_advisory')) === 20);
    child.kill('SIGTERM');
    const end = ended();
    await until(async () => (await request('/health/db')) !== 200);
    const since = performance.now();
    await unlock();
    const [code, signal] = await end;
    // Keep-alive connections would add the five seconds after which Node closes them.
    expect(performance.now() - since).toBeLessThan(4500);
    expect(await Promise.all(answers)).toEqual(Array<number>(20).fill(200));
    expect([code, signal]).toEqual([null, 'SIGTERM']);
    expect(await connections()).toEqual([]);
    agent.destroy();
  });

  it('cancels a query that never ends after DB_SHUTDOWN_TIMEOUT', async () => {
    await start({ DB_SHUTDOWN_TIMEOUT: '500ms' });
    const answer = request('/forever');
    await until(async () => (await running('SELECT pg_sleep(600)')) >= 1);
    child.kill('SIGTERM');
    const [, signal] = await ended();
    expect(signal).toBe('SIGTERM');
    expect(await answer).toBe(500);
    expect(await connections()).toEqual([]);
  });

  it('is harmless a second time', async () => {
    await start();
    const unlock = await lock();
    const answer = request('/locked');
    await until(async () => (await running('SELECT pg_advisory')) === 1);
    child.kill('SIGTERM');
    const end = ended();
    await until(async () => (await request('/health/db')) !== 200);
    child.kill('SIGTERM');
    await unlock();
    await end;
    expect(await answer).toBe(200);
    expect(await connections()).toEqual([]);
  });

  it('ends the start while the database is not available yet', async () => {
    await launch({ DB_URL: 'postgres://app:x@127.0.0.1:1/app' }, 'Trying again');
    child.kill('SIGTERM');
    expect(await ended()).toEqual([null, 'SIGTERM']);
  });
});

describe('app.close()', () => {
  it('closes once and does not hang when it is called twice concurrently', async () => {
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
