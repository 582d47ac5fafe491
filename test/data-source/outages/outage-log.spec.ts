import { setTimeout as pause } from 'node:timers/promises';
import { afterAll, afterEach, beforeAll, describe, expect, it } from '@jest/globals';
import { Controller, Get } from '@nestjs/common';
import { DatabaseModule, InjectQueryRunner } from 'nestjs-database';
import type { DatabaseModuleOptions } from 'nestjs-database';
import type { ConnectionPool } from 'nestjs-database/pool';
import { DataSource } from 'typeorm';
import type { QueryRunner } from 'typeorm';
import { startHttpApp } from '../../support/http-app.js';
import type { HttpApp } from '../../support/http-app.js';
import { startPostgres } from '../../support/postgres-server.js';
import type { PostgresServer } from '../../support/postgres-server.js';
import { until } from '../../support/until.js';

@Controller()
class WorkController {
  constructor(
    @InjectQueryRunner() private readonly runner: QueryRunner,
    private readonly dataSource: DataSource,
  ) {}

  @Get('runner')
  async viaRunner() {
    const rows: unknown = await this.runner.query('SELECT 1 AS one');
    return rows;
  }

  @Get('data-source')
  async viaDataSource() {
    const rows: unknown = await this.dataSource.query('SELECT pg_sleep(0.005)');
    return rows;
  }

  @Get('slow')
  async slow() {
    await this.dataSource.query('SELECT pg_sleep(30)');
  }

  @Get('forgotten')
  async forgotten() {
    await this.runner.startTransaction();
    await this.runner.query('SELECT 1');
  }
}

describe('the log during a failure of the database', () => {
  let server: PostgresServer;
  let http: HttpApp;

  const start = async (options: DatabaseModuleOptions = {}) => {
    http = await startHttpApp({
      imports: [
        DatabaseModule.forRoot({
          url: server.url,
          ...options,
          pool: { size: 4, maxOverflow: 2, acquireTimeoutMs: 1000, ...options.pool },
          timeouts: { connectMs: 1000, shutdownMs: 1000, ...options.timeouts },
        }),
      ],
      controllers: [WorkController],
    });
  };
  const pool = () => http.app.get<{ pool: ConnectionPool }>(DataSource).pool;
  /** The lines that an operator reads. */
  const visibleLines = (from = 0) => http.logger.lines.slice(from).filter(({ level }) => level !== 'debug');

  beforeAll(async () => {
    server = await startPostgres();
  });
  afterEach(() => http.close());
  afterAll(() => server.dispose());

  it('reports an outage of 4 s under 30 clients in two lines, the second with the number of failed requests', async () => {
    await start();
    let stopped = false;
    const statuses: Record<number, number> = {};
    const client = async (path: string) => {
      while (!stopped) {
        const { status } = await http.fetch(path);
        statuses[status] = (statuses[status] ?? 0) + 1;
      }
    };
    const from = http.logger.lines.length;
    const clients = Array.from({ length: 30 }, (_, i) => client(i % 2 ? '/runner' : '/data-source'));
    await until(() => (statuses[200] ?? 0) >= 60);
    await server.kill();
    await pause(4000);
    await server.start();
    const before = statuses[200] ?? 0;
    await until(() => (statuses[200] ?? 0) >= before + 100);
    stopped = true;
    await Promise.all(clients);
    expect(Object.keys(statuses)).toEqual(['200', '503']);
    const lines = visibleLines(from);
    expect(lines.map(({ level, context, message }) => [level, context, message])).toEqual([
      ['warn', 'DatabasePool', expect.stringMatching(/^(A connection was lost|Could not open a connection)/)],
      [
        'log',
        'DatabasePool',
        expect.stringMatching(/^The database is back after \d+\.\d s, \d+ requests failed\.$/),
      ],
    ]);
    const failed = Number(/(\d+) requests/.exec(lines[1]!.message)?.[1]);
    expect(failed).toBeGreaterThan(0);
    expect(Math.abs(failed - statuses[503]!)).toBeLessThanOrEqual(statuses[503]! * 0.1);
    expect(http.logger.text).not.toContain('error [');
  });

  it('reports an exhausted pool in two lines and lists unnamed borrowers once', async () => {
    await start();
    const from = http.logger.lines.length;
    const slow = Array.from({ length: 6 }, () => http.fetch('/slow'));
    await until(() => pool().snapshot().leased >= 6);
    const failing = Array.from({ length: 20 }, () => http.fetch('/runner'));
    expect((await Promise.all(failing)).map(({ status }) => status)).toEqual(Array(20).fill(503));
    await server.sql(
      `SELECT pg_cancel_backend(pid) FROM pg_stat_activity WHERE query LIKE '%pg_sleep(30)%' AND pid <> pg_backend_pid()`,
    );
    await Promise.all(slow);
    await pause(1100);
    await http.fetch('/runner');
    const lines = visibleLines(from).filter(({ context }) => context === 'DatabasePool');
    expect(lines.map(({ level, message }) => [level, message])).toEqual([
      [
        'warn',
        expect.stringMatching(
          /^The pool is exhausted: 6 of 6 connections in use, .* held longest: 3 by dataSource\.query in GET \/slow for up to 1\.\d s, last SQL SELECT pg_sleep\(30\)\.$/,
        ),
      ],
      ['log', expect.stringMatching(/^The pool has free connections again: for .*, 20 requests failed\.$/)],
    ]);
  });

  it('reports the open transactions of a route once and counts them', async () => {
    await start();
    for (let i = 0; i < 5; i++) await http.fetch('/forgotten');
    const lines = () => http.logger.lines.filter(({ message }) => message.includes('open transaction'));
    await until(() => lines().length >= 5);
    expect(lines().map(({ level }) => level)).toEqual(['warn', 'debug', 'debug', 'debug', 'debug']);
  });

  it('names the leases that the pool waits for at the shutdown', async () => {
    await start();
    const slow = http.fetch('/slow').catch(() => undefined);
    await until(() => pool().snapshot().leased >= 1);
    const from = http.logger.lines.length;
    await http.app.get(DataSource).destroy();
    await slow;
    expect(
      visibleLines(from)
        .filter(({ context }) => context === 'DatabaseModule')
        .map(({ message }) => message),
    ).toEqual([
      expect.stringMatching(
        /^Waiting at most 1\.0 s for 1 connection\(s\) in use: dataSource\.query in GET \/slow for .*pg_sleep\(30\)$/,
      ),
    ]);
  });
});
