import { once } from 'node:events';
import { get as httpGet } from 'node:http';
import type { IncomingMessage } from 'node:http';
import { setTimeout as pause } from 'node:timers/promises';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from '@jest/globals';
import {
  Catch,
  Controller,
  Get,
  Injectable,
  Param,
  Res,
  Sse,
  StreamableFile,
  UseFilters,
  UseGuards,
} from '@nestjs/common';
import type { ArgumentsHost, ExceptionFilter, INestApplication } from '@nestjs/common';
import {
  DatabaseModule,
  DatabaseMonitor,
  InjectQueryRunner,
  InjectUnitOfWork,
  ManagedDataSource,
} from 'nestjs-database';
import type { UnitOfWork } from 'nestjs-database';
import { Observable } from 'rxjs';
import { DataSource } from 'typeorm';
import type { QueryRunner } from 'typeorm';
import { CapturingLogger } from '../support/capturing-logger.js';
import { createTestDatabase } from '../support/database.js';
import type { TestDatabase } from '../support/database.js';
import { ADAPTERS, startHttpApp } from '../support/http-app.js';
import type { HttpApp } from '../support/http-app.js';
import { poolAtRest } from '../support/pool-at-rest.js';
import { until } from '../support/until.js';
import { happened, QueryingGuard, QueryingPipe, seen } from './enhancers.js';

@Catch()
@Injectable()
class QueryingFilter implements ExceptionFilter {
  constructor(@InjectQueryRunner() private readonly runner: QueryRunner) {}
  async catch(_error: unknown, host: ArgumentsHost): Promise<void> {
    const [row] = (await this.runner.query('SELECT now() = statement_timestamp() AS outside')) as object[];
    const response = host.switchToHttp().getResponse();
    if (response.raw) response.status(418).send(row);
    else response.status(418).json(row);
  }
}

/** Keeps the response open until the work that the handler has left behind has ended. */
@Catch()
class SlowFilter implements ExceptionFilter {
  async catch(_error: unknown, host: ArgumentsHost): Promise<void> {
    await happened('half ended by TRANSACTION_ROLLED_BACK');
    const response = host.switchToHttp().getResponse();
    if (response.raw) response.status(500).send({});
    else response.status(500).json({});
  }
}

@Controller()
class ScenarioController {
  constructor(
    @InjectQueryRunner() private readonly runner: QueryRunner,
    @InjectUnitOfWork() private readonly unit: UnitOfWork,
  ) {}

  @Get('quick')
  quick() {
    return this.runner.query('SELECT 1 AS one');
  }

  @Get('slow')
  async slow() {
    await this.runner.query('SELECT 1');
    seen.push('slow began');
    await this.runner.query('SELECT pg_sleep(0.4)');
    await this.runner.startTransaction();
    await this.runner.query(`INSERT INTO notes (text) VALUES ('finished')`);
    await this.runner.commitTransaction();
    seen.push('slow finished');
    return 'ok';
  }

  @Get('waiting')
  async waiting() {
    seen.push('waiting began');
    try {
      return await this.runner.query('SELECT 1');
    } catch (error) {
      seen.push(`waiting ended by ${(error as { code: string }).code}`);
      throw error;
    }
  }

  @Get('guarded')
  @UseGuards(QueryingGuard)
  guarded() {}

  @Get('piped/:value')
  piped(@Param('value', QueryingPipe) value: string) {
    return value;
  }

  @Get('filtered')
  @UseFilters(QueryingFilter)
  async filtered() {
    await this.runner.startTransaction();
    throw new Error('for the filter');
  }

  /** More than the buffers of the socket can take, so that a slow reader keeps the response open. */
  @Get('big')
  async big() {
    await this.runner.query('SELECT 1');
    return { text: 'x'.repeat(64_000_000) };
  }

  @Get('streamed')
  async streamed() {
    const rows = await this.runner.stream(`SELECT n FROM generate_series(1, 20000) n`);
    const { Transform } = await import('node:stream');
    const lines = new Transform({
      writableObjectMode: true,
      transform: (row: { n: number }, _encoding, done) => done(null, `${row.n}\n`),
    });
    return new StreamableFile(rows.pipe(lines));
  }

  @Sse('events')
  events(): Observable<{ data: string }> {
    return new Observable((subscriber) => {
      void this.runner.query('SELECT 1').then(() => subscriber.next({ data: 'first' }));
      return () => seen.push('events closed');
    });
  }

  /** Sends the response and continues. */
  @Get('outliving')
  async outliving(@Res() response: any) {
    await this.runner.query('SELECT 1');
    if (response.raw) response.send('early');
    else response.end('early');
    await pause(100);
    await this.runner.query(`INSERT INTO notes (text) VALUES ('after the answer')`);
    seen.push('outlived');
  }

  @Get('parallel')
  async parallel() {
    const further = [this.unit.createQueryRunner(), this.unit.createQueryRunner()];
    const pids = await Promise.all(
      [this.runner, ...further].map(async (runner) => {
        await runner.startTransaction();
        return ((await runner.query('SELECT pg_backend_pid() AS pid')) as { pid: number }[])[0]?.pid;
      }),
    );
    return { connections: new Set(pids).size };
  }

  /** Leaves a running transaction behind when a parallel part of the handler fails. */
  @Get('half')
  @UseFilters(SlowFilter)
  async half() {
    await Promise.all([
      this.runner.manager
        .transaction(async (manager) => {
          await manager.query(`INSERT INTO notes (text) VALUES ('first half')`);
          await manager.query('SELECT pg_sleep(0.1)');
          await manager.query(`INSERT INTO notes (text) VALUES ('second half')`);
        })
        .catch((error: { code?: string }) => seen.push(`half ended by ${error.code}`)),
      this.runner.query('SELECT 1').then(() => {
        throw new Error('the sibling');
      }),
    ]);
  }

  @Get('unawaited')
  async unawaited() {
    await this.runner.query('SELECT 1');
    void this.runner.query(`INSERT INTO notes (text) VALUES ('unawaited')`);
    return 'ok';
  }
}

describe.each(ADAPTERS)('the end of a request on %s', (_name, adapter) => {
  let database: TestDatabase;
  let http: HttpApp;
  let app: INestApplication;
  let logger: CapturingLogger;
  let url: string;

  const start = async (options: { cancelOnDisconnect?: boolean } = {}) => {
    http = await startHttpApp(
      {
        imports: [
          DatabaseModule.forRoot({
            url: database.url,
            applicationName: 'request-end',
            pool: { size: 3, maxOverflow: 0, acquireTimeoutMs: 10_000 },
            ...options,
          }),
        ],
        controllers: [ScenarioController],
      },
      undefined,
      adapter(),
    );
    ({ app, url, logger } = http);
  };
  const everythingReleased = async () => {
    await poolAtRest(app.get(DataSource));
    expect(
      await database.sql(
        `SELECT state FROM pg_stat_activity WHERE application_name = 'request-end' AND state LIKE 'idle in%'`,
      ),
    ).toEqual([]);
  };
  const notes = async () =>
    (await database.sql<{ text: string }>('SELECT text FROM notes')).map(({ text }) => text);
  const answer = async (path: string) => {
    const response = await fetch(url + path);
    return { status: response.status, text: await response.text() };
  };
  /** Sends a request without reading its response. */
  const open = (path: string) => {
    const request = httpGet(url + path, { agent: false });
    request.on('error', () => undefined);
    return request;
  };
  /** Leases all connections until the returned function is called. */
  const exhaust = async () => {
    const runners = [1, 2, 3].map(() => app.get(DataSource).createQueryRunner());
    await Promise.all(runners.map((runner) => runner.connect()));
    return () => Promise.all(runners.map((runner) => runner.release()));
  };

  beforeAll(async () => {
    database = await createTestDatabase();
    await database.sql('CREATE TABLE notes (text text)');
    await database.sql('ALTER TABLE notes OWNER TO app');
    await start();
  });
  beforeEach(async () => {
    seen.length = 0;
    await database.sql('TRUNCATE notes');
  });
  afterAll(async () => {
    await http?.close();
    await database.drop();
  });

  it('releases the connection after an answer', async () => {
    expect(await answer('/quick')).toEqual({ status: 200, text: '[{"one":1}]' });
    await everythingReleased();
  });

  it('lets a handler finish its work after its client has disconnected', async () => {
    const request = open('/slow');
    await happened('slow began');
    request.destroy();
    await happened('slow finished');
    await everythingReleased();
    expect(await notes()).toEqual(['finished']);
  });

  it('cancels the wait for a connection when the client disconnects, without leaking a connection', async () => {
    const giveBack = await exhaust();
    const request = open('/waiting');
    await happened('waiting began');
    await until(() => app.get(DatabaseMonitor).poolStats().waiting > 0);
    request.destroy();
    await happened('waiting ended by POOL_ACQUIRE_CANCELLED');
    expect(app.get(DatabaseMonitor).poolStats().waiting).toBe(0);
    await giveBack();
    await everythingReleased();
  });

  it('releases a connection that is acquired just before the client disconnects', async () => {
    const giveBack = await exhaust();
    const request = open('/waiting');
    await happened('waiting began');
    await giveBack();
    request.destroy();
    await everythingReleased();
  });

  it('survives clients that disconnect immediately', async () => {
    for (let i = 0; i < 20; i++) {
      const request = open('/quick');
      await once(request, 'socket');
      request.destroy();
    }
    await everythingReleased();
    expect((await answer('/quick')).status).toBe(200);
  });

  it('releases the connection of a guard or a pipe that refuses the request', async () => {
    expect((await answer('/guarded')).status).toBe(403);
    expect((await answer('/piped/bad')).status).toBe(500);
    expect((await answer('/piped/good')).text).toBe('good');
    await everythingReleased();
  });

  it('lets an exception filter query outside of the transaction of the handler', async () => {
    expect(await answer('/filtered')).toEqual({ status: 418, text: '{"outside":true}' });
    await everythingReleased();
  });

  it('keeps no connection leased while the client reads the response slowly', async () => {
    const request = open('/big');
    const [response] = (await once(request, 'response')) as [IncomingMessage];
    response.pause();
    await everythingReleased();
    expect(response.complete).toBe(false);
    request.destroy();
  });

  it('keeps the connection leased until a stream that reads from it has ended', async () => {
    const { status, text } = await answer('/streamed');
    expect(status).toBe(200);
    expect(text.trimEnd().split('\n')).toHaveLength(20_000);
    await everythingReleased();
  });

  it('ends a stream when its reader disconnects', async () => {
    const request = open('/streamed');
    const [response] = (await once(request, 'response')) as [IncomingMessage];
    await once(response, 'data');
    request.destroy();
    await everythingReleased();
  });

  it('releases the connection of server-sent events when the client disconnects', async () => {
    const request = open('/events');
    const [response] = (await once(request, 'response')) as [IncomingMessage];
    await once(response, 'data');
    request.destroy();
    await happened('events closed');
    await everythingReleased();
  });

  it('lets a handler outlive its response', async () => {
    expect((await answer('/outliving')).text).toBe('early');
    await happened('outlived');
    await everythingReleased();
    expect(await notes()).toEqual(['after the answer']);
  });

  it('rolls back and releases further runners of the request', async () => {
    expect((await answer('/parallel')).text).toBe('{"connections":3}');
    await everythingReleased();
    expect(logger.text).toMatch(/GET \/parallel/);
  });

  it('lets a statement that the handler does not await finish on its connection', async () => {
    expect((await answer('/unawaited')).text).toBe('ok');
    await everythingReleased();
    expect(await notes()).toEqual(['unawaited']);
  });

  it('commits no part of a transaction that the handler has abandoned', async () => {
    expect((await answer('/half')).status).toBe(500);
    await everythingReleased();
    expect(await notes()).toEqual([]);
  });

  it('names the route as the borrower', async () => {
    const request = open('/slow');
    await happened('slow began');
    const { pool } = app.get<DataSource, ManagedDataSource>(DataSource);
    expect(pool?.leases().map(({ borrower }) => borrower)).toEqual(['GET /slow']);
    request.destroy();
    await happened('slow finished');
    await everythingReleased();
  });

  it('cancels the running statement of a disconnected client with cancelOnDisconnect', async () => {
    await app.close();
    await start({ cancelOnDisconnect: true });
    const request = open('/slow');
    await happened('slow began');
    await until(
      async () =>
        (
          await database.sql(
            `SELECT 1 FROM pg_stat_activity WHERE query LIKE 'SELECT pg_sleep(0.4)%' AND state = 'active'`,
          )
        ).length > 0,
    );
    request.destroy();
    await everythingReleased();
    expect(seen).not.toContain('slow finished');
    expect(await notes()).toEqual([]);
  });
});
