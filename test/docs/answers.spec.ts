import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from '@jest/globals';
import { DatabaseHealthModule, DatabaseModule, DatabaseMonitor } from 'nestjs-database';
import { DataSource } from 'typeorm';
import type { QueryRunner } from 'typeorm';
import { run } from '../../src/cli/commands.js';
import { createTestDatabase } from '../support/database.js';
import type { TestDatabase } from '../support/database.js';
import { startHttpApp } from '../support/http-app.js';
import type { HttpApp } from '../support/http-app.js';
import { startTcpProxy } from '../support/tcp-proxy.js';
import type { TcpProxy } from '../support/tcp-proxy.js';
import { blocksOf, PAGES } from './markdown.js';

/** Replaces numbers and the name of the database, which vary. */
function shape(value: unknown, key?: string): unknown {
  if (Array.isArray(value)) return value.map((item) => shape(item));
  if (typeof value === 'object' && value !== null)
    return Object.fromEntries(Object.entries(value).map(([name, inner]) => [name, shape(inner, name)]));
  if (typeof value === 'string' && key !== 'database') return value.replace(/\d+/g, '#');
  return typeof value;
}

/** The blocks of all pages that show the answer of this name. */
function shown(answer: string): unknown[] {
  const blocks = PAGES.flatMap((page) => blocksOf(page, 'json', 'text'));
  const found = blocks.filter(({ comment }) => comment === `answer: ${answer}`);
  if (found.length === 0) throw new Error(`no page shows the answer "${answer}"`);
  return found.map(({ text }) => shape(JSON.parse(text)));
}

describe('An answer that the documentation shows', () => {
  let database: TestDatabase;
  let proxy: TcpProxy;
  let http: HttpApp;
  let monitor: DatabaseMonitor;
  let runners: QueryRunner[];

  beforeAll(async () => {
    database = await createTestDatabase();
    proxy = await startTcpProxy({ port: Number(new URL(database.url).port) });
  });
  beforeEach(async () => {
    runners = [];
    http = await startHttpApp({
      imports: [
        DatabaseModule.forRoot({
          url: proxy.through(database.url),
          pool: { size: 1, maxOverflow: 1 },
          multiplex: false,
          timeouts: { shutdownMs: 0 },
        }),
        DatabaseHealthModule.forRoot({ timeoutMs: 200 }),
      ],
    });
    monitor = http.app.get(DatabaseMonitor);
  });
  afterEach(async () => {
    await Promise.all(runners.map((runner) => runner.release()));
    await proxy.pass();
    await http.close();
  });
  afterAll(async () => {
    await proxy.close();
    await database.drop();
  });

  const borrow = async () => {
    const runner = http.app.get(DataSource).createQueryRunner();
    runners.push(runner);
    await runner.connect();
  };
  const expectShown = (answer: string, real: unknown) => {
    for (const example of shown(answer)) expect(example).toEqual(shape(real));
  };

  it('is the answer of a database that is up', async () => {
    expectShown('up', (await http.fetch('/health/db')).body);
    expectShown('check up', await monitor.checkConnection());
    expectShown('poolStats', monitor.poolStats());
  });

  it('is the answer of a database that is down', async () => {
    await proxy.refuse();
    proxy.reset();
    await http.fetch('/health/db');
    expectShown('down', (await http.fetch('/health/db')).body);
    expectShown('check down', await monitor.checkConnection());
  });

  it('is the answer of an exhausted pool, with the report of the monitor', async () => {
    await borrow();
    expectShown('connectionLeaks', monitor.connectionLeaks());
    await borrow();
    expectShown('exhausted', (await http.fetch('/health/db')).body);
  });

  it('is the output of the doctor', async () => {
    const masked = (text: string) =>
      text
        .trimEnd()
        .replace(/database "\w+" at/, 'database')
        .replace(/DB_PROFILE=\w+/, 'profile')
        .replace(/ +[\d.]+ ms/g, ' # ms')
        .replace(/[\d.]+/g, '#');
    let printed = '';
    const out = { write: (text: string) => (printed += text) };
    await run(['doctor', database.url], out, out);
    const [shown] = blocksOf('docs/doctor.md', 'text');
    expect(masked(shown!.text)).toBe(masked(printed));
  });

  it('is the log line of the start', () => {
    const masked = (line: string) =>
      line
        .replace(/database "\w+" at [\w.]+/, 'database')
        .replace(/\d+/g, '#')
        .replace(/profile \w+/, 'profile');
    const lines = PAGES.flatMap((page) => blocksOf(page, 'text'))
      .filter(({ text }) => text.includes('Connected to database'))
      .map(({ text }) => masked(text));
    expect(lines.length).toBeGreaterThan(0);
    for (const line of lines)
      expect(line).toBe(`[DatabaseModule] ${masked(http.logger.of('DatabaseModule')[0]!)}`);
  });
});
