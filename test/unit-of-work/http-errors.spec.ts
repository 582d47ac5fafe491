import { request as httpRequest } from 'node:http';
import { afterAll, afterEach, beforeAll, describe, expect, it } from '@jest/globals';
import { Catch, Controller, Get, UseFilters } from '@nestjs/common';
import type { ArgumentsHost, ExceptionFilter, INestApplication, Provider } from '@nestjs/common';
import { APP_FILTER, ApplicationConfig } from '@nestjs/core';
import {
  DatabaseModule,
  InjectQueryRunner,
  PoolAcquireTimeoutError,
  PoolError,
  toHttpException,
} from 'nestjs-database';
import type { DatabaseModuleOptions } from 'nestjs-database';
import type { ConnectionPool } from 'nestjs-database/pool';
import { DataSource, QueryFailedError } from 'typeorm';
import type { QueryRunner } from 'typeorm';
import { createTestDatabase } from '../support/database.js';
import type { TestDatabase } from '../support/database.js';
import { ADAPTERS, startHttpApp } from '../support/http-app.js';
import type { HttpApp } from '../support/http-app.js';
import { freePort } from '../support/ports.js';
import { until } from '../support/until.js';

/** A filter of the app, which answers with another status. */
function filterOf(status: number, ...types: (abstract new (...args: never[]) => unknown)[]): ExceptionFilter {
  @Catch(...(types as never[]))
  class Filter implements ExceptionFilter {
    catch(_: unknown, host: ArgumentsHost) {
      host
        .switchToHttp()
        .getResponse<{ status(code: number): { send(body: string): void } }>()
        .status(status)
        .send('mine');
    }
  }
  return new Filter();
}

@Controller()
class RunnerController {
  constructor(
    @InjectQueryRunner() private readonly runner: QueryRunner,
    private readonly dataSource: DataSource,
  ) {}

  @Get('one')
  one(): Promise<unknown> {
    return this.runner.query('SELECT 1 AS one');
  }

  @Get('beside')
  beside(): Promise<unknown> {
    return this.dataSource.query('SELECT 1 AS one');
  }
}

@Controller()
class WorkController {
  constructor(private readonly dataSource: DataSource) {}

  @Get('repository')
  async repository() {
    const rows: unknown = await this.dataSource.query('SELECT 1 AS one');
    return rows;
  }

  @Get('slow')
  slow(): Promise<unknown> {
    return this.dataSource.query(`SELECT pg_sleep(30), 'secret' AS text`);
  }

  @Get('wrong')
  wrong(): Promise<unknown> {
    return this.dataSource.query('SELECT 1 / 0');
  }

  @Get('serialization')
  serialization(): Promise<unknown> {
    return this.dataSource.query(`DO $$ BEGIN RAISE EXCEPTION 'retry' USING ERRCODE = '40001'; END $$`);
  }

  @Get('raised')
  raised(): Promise<unknown> {
    return this.dataSource.query(`DO $$ BEGIN RAISE EXCEPTION 'remote' USING ERRCODE = '08006'; END $$`);
  }

  @Get('elsewhere')
  elsewhere(): never {
    throw Object.assign(new Error('connect ECONNREFUSED 127.0.0.1:6379'), { code: 'ECONNREFUSED' });
  }

  @Get('method-filter')
  @UseFilters(filterOf(418, PoolAcquireTimeoutError))
  methodFilter(): Promise<unknown> {
    return this.dataSource.query('SELECT 1');
  }
}

@Controller('filtered')
@UseFilters(filterOf(419, PoolError))
class FilteredController {
  constructor(private readonly dataSource: DataSource) {}

  @Get()
  one(): Promise<unknown> {
    return this.dataSource.query('SELECT 1');
  }
}

describe.each(ADAPTERS)('a request that fails by the database, on %s', (_platform, adapter) => {
  let database: TestDatabase;
  let http: HttpApp;

  const start = async (
    options: DatabaseModuleOptions = {},
    configure: (app: INestApplication) => void = () => {},
    providers: Provider[] = [],
  ) => {
    http = await startHttpApp(
      {
        imports: [
          DatabaseModule.forRoot({
            url: database.url,
            ...options,
            pool: { size: 1, maxOverflow: 0, acquireTimeoutMs: 1000, ...options.pool },
            timeouts: { shutdownMs: 1000, ...options.timeouts },
          }),
        ],
        controllers: [RunnerController, WorkController, FilteredController],
        providers,
      },
      configure,
      adapter(),
    );
  };
  const pool = () => http.app.get<{ pool: ConnectionPool }>(DataSource).pool;
  /** Requests these routes while every connection is in use. */
  const whileFull = async (...paths: string[]) => {
    const held = await pool().acquire({ borrower: 'the test' });
    try {
      return await Promise.all(paths.map((path) => fetch(http.url + path)));
    } finally {
      held.release();
    }
  };
  const loud = () => http.logger.lines.filter(({ level }) => level === 'error');

  beforeAll(async () => {
    database = await createTestDatabase();
  });
  afterEach(() => http.close());
  afterAll(() => database.drop());

  it('is answered with 503 and Retry-After while the pool is exhausted, and logged at debug only', async () => {
    await start({ pool: { maxWaiting: 2 } });
    const responses = await whileFull('/one', '/repository', '/repository');
    for (const response of responses) {
      expect(response.status).toBe(503);
      expect(response.headers.get('retry-after')).toMatch(/^[1-9]\d*$/);
      expect(await response.json()).toEqual({
        statusCode: 503,
        message: 'The service is busy; try again shortly.',
        error: 'Service Unavailable',
      });
    }
    expect(loud()).toEqual([]);
    expect(http.logger.lines.filter(({ level }) => level === 'debug').map(({ message }) => message)).toEqual(
      expect.arrayContaining([
        expect.stringMatching(/GET \/repository was answered with 503: Pool(QueueFull|Acquire)/),
      ]),
    );
    expect((await http.fetch('/one')).status).toBe(200);
  });

  it('is answered with 504 after the timeout of its statement, without SQL and values', async () => {
    await start({ timeouts: { statementMs: 300 } });
    const { status, body } = await http.fetch('/slow');
    expect(status).toBe(504);
    expect(body).toEqual({
      statusCode: 504,
      message: 'The database did not answer in time.',
      error: 'Gateway Timeout',
    });
    expect(loud()).toEqual([]);
    await http.fetch('/slow');
    // The pool logs no line for it. The filter warns of the route once a minute.
    const warnings = http.logger.of('DatabaseRequest').filter((line) => !line.includes('\n'));
    expect(warnings).toEqual([
      expect.stringMatching(/^GET \/slow was answered with 504: .*, SQL SELECT pg_sleep\(30\)/),
    ]);
  });

  it('is answered with 503 while the database is unavailable, without host and user', async () => {
    const port = await freePort();
    await start({
      url: `postgres://me:pw@127.0.0.1:${port}/app`,
      startup: 'lazy',
      connectRetry: { retries: 0 },
    });
    const response = await fetch(`${http.url}/repository`);
    expect(response.status).toBe(503);
    expect(response.headers.get('retry-after')).toBe('5');
    expect(await response.json()).toEqual({
      statusCode: 503,
      message: 'The database is not available; try again later.',
      error: 'Service Unavailable',
    });
    expect(loud()).toEqual([]);
  });

  it('is answered with 503 when the server ends its session, and with 500 after an error of the statement', async () => {
    await start({ retryTerminated: false });
    const slow = http.fetch('/slow');
    const killed = async () =>
      (
        await database.sql(
          `SELECT pg_terminate_backend(pid) AS done FROM pg_stat_activity WHERE query LIKE '%pg_sleep(30), %' AND pid <> pg_backend_pid()`,
        )
      ).length;
    await until(async () => (await killed()) !== 0);
    expect((await slow).status).toBe(503);
    for (const path of ['/wrong', '/serialization', '/raised', '/elsewhere']) {
      const { status, body } = await http.fetch(path);
      expect([path, status, body]).toEqual([
        path,
        500,
        { statusCode: 500, message: 'Internal server error' },
      ]);
    }
    expect(loud()).toHaveLength(4);
  });

  it('is answered with 500 when httpErrors is false', async () => {
    await start({ httpErrors: false, pool: { maxWaiting: 0 }, timeouts: { statementMs: 300 } });
    expect((await whileFull('/one', '/repository')).map(({ status }) => status)).toEqual([500, 500]);
    expect((await http.fetch('/slow')).status).toBe(500);
    expect(loud()).toHaveLength(3);
  });

  it('is answered by the filters of its method and its controller that catch the error', async () => {
    await start();
    const responses = await whileFull('/method-filter', '/filtered', '/one');
    expect(responses.map(({ status }) => status)).toEqual([418, 419, 503]);
  });

  it.each([
    ['for every error', filterOf(420)],
    ['for the class of the error', filterOf(420, PoolError)],
  ])('is answered by a global filter of the app %s', async (_, filter) => {
    const options = { pool: { maxWaiting: 0 } };
    await start(options, (app) => app.useGlobalFilters(filter));
    expect((await whileFull('/one', '/repository')).map(({ status }) => status)).toEqual([420, 420]);
    await http.close();
    await start(options, undefined, [{ provide: APP_FILTER, useValue: filter }]);
    expect((await whileFull('/one', '/repository')).map(({ status }) => status)).toEqual([420, 420]);
  });

  it('is answered as usual beside a global filter of the app for other errors', async () => {
    await start({ pool: { maxWaiting: 0 } }, (app) => app.useGlobalFilters(filterOf(420, QueryFailedError)));
    expect((await whileFull('/one')).map(({ status }) => status)).toEqual([503]);
    expect((await http.fetch('/wrong')).status).toBe(420);
  });

  it('is logged at debug only when its client has disconnected', async () => {
    await start({ httpErrors: false, cancelOnDisconnect: true });
    const held = await pool().acquire();
    for (const path of ['/one', '/beside']) {
      const request = httpRequest(http.url + path).on('error', () => undefined);
      request.end();
      await until(() => pool().snapshot().waiting > 0);
      request.destroy();
      await until(() => pool().snapshot().waiting === 0);
    }
    held.release();
    const gone = () =>
      http.logger.lines.filter(({ message }) => message.includes('failed after its client had disconnected'));
    await until(() => gone().length >= 2);
    expect(gone().map(({ level }) => level)).toEqual(['debug', 'debug']);
    expect(http.logger.lines.filter(({ level }) => level === 'error' || level === 'warn')).toEqual([]);
  });

  it('is caught by one filter, however many data sources there are', async () => {
    const reporting = DatabaseModule.forRoot({ url: database.url, pool: { size: 1 }, name: 'reporting' });
    http = await startHttpApp(
      { imports: [DatabaseModule.forRoot({ url: database.url }), reporting] },
      undefined,
      adapter(),
    );
    expect(http.app.get(ApplicationConfig).getGlobalFilters()).toHaveLength(1);
  });
});

describe('toHttpException', () => {
  it('converts pool errors for the filters of an app and ignores other errors', () => {
    expect(toHttpException(new PoolAcquireTimeoutError('x'))?.getStatus()).toBe(503);
    expect(toHttpException(new Error('x'))).toBeUndefined();
  });
});
