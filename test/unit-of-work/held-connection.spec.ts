import { once } from 'node:events';
import { get as httpGet, IncomingMessage, request as httpRequest, ServerResponse } from 'node:http';
import type { RequestListener } from 'node:http';
import { connect, Socket } from 'node:net';
import { Writable } from 'node:stream';
import { setTimeout as pause } from 'node:timers/promises';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from '@jest/globals';
import { Catch, Controller, Get, Injectable, Post, Res, Sse, UseFilters, UseGuards } from '@nestjs/common';
import type {
  ArgumentsHost,
  CallHandler,
  CanActivate,
  ExceptionFilter,
  ExecutionContext,
  INestApplication,
  NestInterceptor,
} from '@nestjs/common';
import { APP_INTERCEPTOR } from '@nestjs/core';
import { ExpressAdapter } from '@nestjs/platform-express';
import { Test } from '@nestjs/testing';
import { DatabaseModule, InjectQueryRunner, ManagedDataSource } from 'nestjs-database';
import { Observable, retry } from 'rxjs';
import { DataSource } from 'typeorm';
import type { QueryRunner } from 'typeorm';
import { CapturingLogger } from '../support/capturing-logger.js';
import { createTestDatabase } from '../support/database.js';
import type { TestDatabase } from '../support/database.js';
import { ADAPTERS, startHttpApp } from '../support/http-app.js';
import type { HttpApp } from '../support/http-app.js';
import { poolAtRest } from '../support/pool-at-rest.js';
import { until } from '../support/until.js';

const CLIENTS = 15;

/** Events inside the app that the tests wait for. */
const seen: string[] = [];
const happened = async (what: string, times = 1) => {
  await until(() => seen.filter((entry) => entry === what).length >= times);
};
/** Lets guards and handlers that wait for the test continue. */
let goOn: Promise<void>;
let letGoOn: () => void;
let attempts = 0;

const noteClose = (context: ExecutionContext) => {
  const response = context.switchToHttp().getResponse();
  (response.raw ?? response).once('close', () => seen.push('response closed'));
};

type Pid = { pid: number }[];
const pidOf = async (runner: QueryRunner) =>
  ((await runner.query('SELECT pg_backend_pid() AS pid')) as Pid)[0]?.pid;

@Injectable()
class QueryingGuard implements CanActivate {
  constructor(@InjectQueryRunner() private readonly runner: QueryRunner) {}
  async canActivate(): Promise<boolean> {
    await this.runner.query('SELECT 1');
    seen.push('guard has queried');
    return true;
  }
}

@Injectable()
class SlowGuard implements CanActivate {
  constructor(@InjectQueryRunner() private readonly runner: QueryRunner) {}
  async canActivate(context: ExecutionContext): Promise<boolean> {
    noteClose(context);
    await this.runner.query('SELECT 1');
    seen.push('slow guard began');
    await goOn;
    return true;
  }
}

/** Begins a transaction once the client has disconnected, and then refuses the request. */
@Injectable()
class LateGuard implements CanActivate {
  constructor(@InjectQueryRunner() private readonly runner: QueryRunner) {}
  async canActivate(context: ExecutionContext): Promise<boolean> {
    noteClose(context);
    seen.push('late guard began');
    await goOn;
    await this.runner
      .startTransaction()
      .catch((error: { code: string }) => seen.push(`late guard: ${error.code}`));
    await this.runner.query('SELECT 1').then(() => seen.push('late guard has queried'));
    return false;
  }
}

@Catch()
@Injectable()
class BigFilter implements ExceptionFilter {
  constructor(@InjectQueryRunner() private readonly runner: QueryRunner) {}
  async catch(_error: unknown, host: ArgumentsHost): Promise<void> {
    await this.runner.query('SELECT 1');
    const response = host.switchToHttp().getResponse();
    response.status(500).send('x'.repeat(16_000_000));
    seen.push('filter has answered');
  }
}

/** A static interceptor of the whole app, and therefore outside of the one of the module. */
@Injectable()
class RetryInterceptor implements NestInterceptor {
  intercept(_context: unknown, next: CallHandler): Observable<unknown> {
    return next.handle().pipe(retry(2));
  }
}

@Controller()
class HoldingController {
  constructor(
    @InjectQueryRunner() private readonly runner: QueryRunner,
    private readonly dataSource: DataSource,
  ) {}

  @Get('quick')
  quick() {
    return this.runner.query('SELECT 1 AS one');
  }

  @Get('waiting')
  async waiting() {
    await this.runner.query('SELECT 1');
    seen.push('handler has queried');
    await goOn;
    return 'done';
  }

  @Get('streaming')
  async streaming(@Res() response: any) {
    const stream = await this.runner.stream('SELECT n, repeat($1, 1000) FROM generate_series(1, 100000) n', [
      'x',
    ]);
    const { Transform } = await import('node:stream');
    stream
      .pipe(new Transform({ writableObjectMode: true, transform: (row, _, done) => done(null, `${row.n}`) }))
      .pipe(response.raw ?? response);
    seen.push('stream began');
  }

  @Get('failing')
  @UseFilters(BigFilter)
  failing() {
    throw new Error('for the filter');
  }

  @Post('upload')
  @UseGuards(QueryingGuard)
  upload() {
    return 'uploaded';
  }

  @Sse('events')
  events(): Observable<{ data: string }> {
    return new Observable((subscriber) => {
      void this.runner.query('SELECT 1').then(() => subscriber.next({ data: 'first' }));
    });
  }

  @Get('slow-guard')
  @UseGuards(SlowGuard)
  async afterGuard() {
    try {
      await this.runner.startTransaction();
      await this.runner.query(`INSERT INTO notes (text) VALUES ('after the guard')`);
      await this.runner.commitTransaction();
      seen.push('handler finished');
    } catch (error) {
      seen.push(`handler failed: ${(error as Error).name}`);
    }
  }

  @Get('late-guard')
  @UseGuards(LateGuard)
  never() {}

  @Get('retried')
  async retried() {
    attempts += 1;
    await this.runner.startTransaction();
    await this.runner.query('INSERT INTO notes (text) VALUES ($1)', [`attempt ${attempts}`]);
    // No rollback here.
    if (attempts < 3) throw new Error('once more');
    await this.runner.commitTransaction();
    return { attempts };
  }

  /** Whether the runner has a connection after each kind of statement. */
  @Get('holding')
  async holding() {
    const { pool } = this.dataSource as ManagedDataSource;
    const held = () => pool!.leases().filter(({ borrower }) => borrower === 'GET /holding').length;
    const states: [string, number][] = [];
    const note = (what: string) => states.push([what, held()]);
    note('before');
    await this.runner.query('SELECT 1');
    note('after a statement');
    await this.runner.query('SELECT 1 / 0').catch(() => undefined);
    // The error arrives before ReadyForQuery.
    await until(() => held() === 0);
    note('after a statement that failed');
    await this.runner.startTransaction();
    await this.runner.query('SELECT 1');
    note('in a transaction');
    await this.runner.commitTransaction();
    note('after COMMIT');
    await this.runner.query('BEGIN');
    note('after BEGIN as a statement');
    await this.runner.query('ROLLBACK');
    note('after ROLLBACK as a statement');
    await this.runner.query('BEGIN; SELECT 1 / 0').catch(() => undefined);
    note('in a failed transaction');
    expect(await this.runner.query('SELECT 1').catch((error: { code: string }) => error.code)).toBe('25P02');
    await this.runner.query('ROLLBACK');
    note('after its end');
    await this.runner.manager
      .transaction(async (manager) => {
        await manager.query('SELECT 1');
        note('in manager.transaction');
        throw new Error('rolled back');
      })
      .catch(() => undefined);
    note('after manager.transaction');
    const stream = await this.runner.stream('SELECT generate_series(1, 10)');
    note('while a stream is open');
    const rows = [];
    for await (const row of stream) rows.push(row);
    if (!stream.closed) await once(stream, 'close');
    note('after the stream');
    const closed = await this.runner.stream('SELECT generate_series(1, 10000)');
    closed.destroy();
    await once(closed, 'close');
    note('after a stream that was destroyed');
    await this.runner.query(`SET application_name = 'changed'`);
    note('after SET');
    const [setting] = (await this.runner.query('SHOW application_name')) as object[];
    return { states, setting };
  }

  @Get('pinned')
  async pinned() {
    const { pool } = this.dataSource as ManagedDataSource;
    await this.runner.connect();
    await this.runner.query(`INSERT INTO numbered (text) VALUES ('pinned')`);
    const [row] = (await this.runner.query('SELECT lastval()::int AS last')) as object[];
    return {
      row,
      held: pool!.leases().filter(({ borrower }) => borrower === 'GET /pinned').length,
    };
  }

  @Get('surviving')
  async surviving() {
    const killed = await pidOf(this.runner);
    // A statement that is not repeated after a loss.
    const lost = this.runner.query('DO $$ BEGIN PERFORM pg_terminate_backend(pg_backend_pid()); END $$');
    const reason = await lost.then(
      () => undefined,
      (error: { code?: string }) => error.code,
    );
    const next = await pidOf(this.runner);
    let tries = 0;
    const work = () =>
      this.runner.manager.transaction(async (manager) => {
        tries += 1;
        await manager.query('INSERT INTO notes (text) VALUES ($1)', [`try ${tries}`]);
        if (tries === 1) await manager.query('SELECT pg_terminate_backend(pg_backend_pid())');
      });
    const failed = await work().then(
      () => undefined,
      (error: { code?: string }) => error.code,
    );
    await work();
    return { reason, another: killed !== next, failed, tries };
  }

  /** The lost session had state that another connection lacks: one statement fails. */
  @Get('surviving-changed')
  async survivingChanged() {
    await this.runner.query(`SET application_name = 'changed'`);
    const pid = await pidOf(this.runner);
    await this.dataSource.query('SELECT pg_terminate_backend($1)', [pid]);
    const codes: (string | undefined)[] = [];
    for (let i = 0; i < 2; i++)
      await this.runner.query('SELECT 1').then(
        () => codes.push('served'),
        (error: { code?: string }) => codes.push(error.code),
      );
    return codes;
  }
}

describe.each(ADAPTERS)('the connection of a request on %s', (_name, adapter) => {
  let database: TestDatabase;
  let http: HttpApp;
  let app: INestApplication;
  let url: string;

  const everythingReleased = async () => {
    await poolAtRest(app.get(DataSource));
    expect(
      await database.sql(
        `SELECT state FROM pg_stat_activity WHERE application_name = 'holding' AND state LIKE 'idle in%'`,
      ),
    ).toEqual([]);
  };
  const notes = async () =>
    (await database.sql<{ text: string }>('SELECT text FROM notes ORDER BY text')).map(({ text }) => text);
  const answer = async (path: string) => {
    const response = await fetch(url + path);
    return { status: response.status, body: (await response.json()) as any };
  };
  const open = (path: string) => {
    const request = httpGet(url + path, { agent: false });
    request.on('error', () => undefined);
    return request;
  };
  /** Expects that another request is served while the clients of the test keep their requests open. */
  const anotherIsServed = async () => {
    const since = performance.now();
    expect(await answer('/quick')).toEqual({ status: 200, body: [{ one: 1 }] });
    expect(performance.now() - since).toBeLessThan(1000);
  };

  beforeAll(async () => {
    database = await createTestDatabase();
    await database.sql('CREATE TABLE notes (text text)');
    await database.sql('CREATE TABLE numbered (id serial PRIMARY KEY, text text)');
    await database.sql('ALTER TABLE notes OWNER TO app; ALTER TABLE numbered OWNER TO app');
    http = await startHttpApp(
      {
        imports: [
          DatabaseModule.forRoot({
            url: database.url,
            applicationName: 'holding',
            pool: { size: 2, maxOverflow: 0, acquireTimeoutMs: 5_000 },
          }),
        ],
        providers: [{ provide: APP_INTERCEPTOR, useClass: RetryInterceptor }],
        controllers: [HoldingController],
      },
      undefined,
      adapter(),
    );
    ({ app, url } = http);
  });
  beforeEach(async () => {
    seen.length = 0;
    attempts = 0;
    goOn = new Promise((resolve) => (letGoOn = resolve));
    await database.sql('TRUNCATE notes');
  });
  afterEach(async () => {
    letGoOn();
    await everythingReleased();
  });
  afterAll(async () => {
    await http?.close();
    await database.drop();
  });

  it('is leased only while something needs it', async () => {
    const { body } = await answer('/holding');
    expect(body).toEqual({
      states: [
        ['before', 0],
        ['after a statement', 0],
        ['after a statement that failed', 0],
        ['in a transaction', 1],
        ['after COMMIT', 0],
        ['after BEGIN as a statement', 1],
        ['after ROLLBACK as a statement', 0],
        ['in a failed transaction', 1],
        ['after its end', 0],
        ['in manager.transaction', 1],
        ['after manager.transaction', 0],
        ['while a stream is open', 1],
        ['after the stream', 0],
        ['after a stream that was destroyed', 0],
        ['after SET', 1],
      ],
      setting: { application_name: 'changed' },
    });
  });

  it('stays the same after connect()', async () => {
    const { body } = await answer('/pinned');
    expect(body).toEqual({ row: { last: expect.any(Number) }, held: 1 });
  });

  it('is not leased while a handler waits for something else', async () => {
    const requests = Array.from({ length: CLIENTS }, () => open('/waiting'));
    await happened('handler has queried', CLIENTS);
    await anotherIsServed();
    letGoOn();
    for (const request of requests) request.destroy();
  });

  it('is not leased while a client slowly reads the answer of an exception filter that has queried', async () => {
    const requests = await Promise.all(
      Array.from({ length: CLIENTS }, async () => {
        const request = open('/failing');
        const [response] = (await once(request, 'response')) as [IncomingMessage];
        response.pause();
        return request;
      }),
    );
    await happened('filter has answered', CLIENTS);
    await anotherIsServed();
    for (const request of requests) request.destroy();
  });

  it('is not leased while a request whose guard has queried waits for its body', async () => {
    const requests = Array.from({ length: CLIENTS }, () => {
      const request = httpRequest(`${url}/upload`, {
        method: 'POST',
        agent: false,
        headers: { 'content-type': 'application/octet-stream', 'content-length': 1_000_000 },
      });
      request.on('error', () => undefined);
      request.write('x');
      return request;
    });
    // Fastify reads the body before its guards run, so that they have not queried yet.
    if (_name === 'Express') await happened('guard has queried', CLIENTS);
    await anotherIsServed();
    for (const request of requests) request.destroy();
  });

  it('is not leased by server-sent events that have queried at their start', async () => {
    const requests = await Promise.all(
      Array.from({ length: CLIENTS }, async () => {
        const request = open('/events');
        const [response] = (await once(request, 'response')) as [IncomingMessage];
        await once(response, 'data');
        return request;
      }),
    );
    await anotherIsServed();
    for (const request of requests) request.destroy();
  });

  it.each([
    ['waits', 'waiting', 'handler has queried'],
    ['streams', 'streaming', 'stream began'],
  ])(
    'is released when a client that pipelines requests disconnects while the second one %s',
    async (_what, path, began) => {
      const { port } = new URL(url);
      const clients = 2;
      for (let i = 0; i < clients; i++) {
        const socket = connect(Number(port), '127.0.0.1');
        socket.on('error', () => undefined);
        await once(socket, 'connect');
        // The second response waits for the first one, which is never sent.
        const requestTo = (to: string) => `GET /${to} HTTP/1.1\r\nHost: test\r\n\r\n`;
        socket.write(requestTo('waiting') + requestTo(path));
        await happened(began, path === 'waiting' ? 2 * (i + 1) : i + 1);
        socket.destroy();
      }
      letGoOn();
      await everythingReleased();
      await anotherIsServed();
    },
  );

  it('adds one listener to a socket, however many requests the client pipelines', async () => {
    const warnings: Error[] = [];
    const listen = (warning: Error) => warnings.push(warning);
    process.on('warning', listen);
    const { port } = new URL(url);
    const socket = connect(Number(port), '127.0.0.1');
    await once(socket, 'connect');
    socket.write('GET /quick HTTP/1.1\r\nHost: test\r\n\r\n'.repeat(30));
    let text = '';
    while (text.split('HTTP/1.1 200').length <= 30) text += String((await once(socket, 'data'))[0]);
    socket.destroy();
    await pause(0);
    process.off('warning', listen);
    expect(warnings.filter(({ name }) => name === 'MaxListenersExceededWarning')).toEqual([]);
  });

  it('serves the handler when the client has disconnected during a slow guard', async () => {
    const request = open('/slow-guard');
    await happened('slow guard began');
    request.destroy();
    await happened('response closed');
    letGoOn();
    await happened('handler finished');
    expect(await notes()).toEqual(['after the guard']);
  });

  it('is not leased by a guard that begins a transaction after its client has disconnected', async () => {
    const request = open('/late-guard');
    await happened('late guard began');
    request.destroy();
    await happened('response closed');
    letGoOn();
    await happened('late guard has queried');
    expect(seen).toContain('late guard: REQUEST_CLOSED');
    await everythingReleased();
  });

  it('serves a retry of the handler, which begins a new transaction', async () => {
    expect(await answer('/retried')).toEqual({ status: 200, body: { attempts: 3 } });
    expect(await notes()).toEqual(['attempt 3']);
  });

  it('is replaced after its loss: the next statement and a retried transaction run on a new connection', async () => {
    expect(await answer('/surviving')).toEqual({
      status: 200,
      body: { reason: '57P01', another: true, failed: '57P01', tries: 2 },
    });
    expect(await notes()).toEqual(['try 2']);
  });

  it('is replaced after one error when the lost session had state that a new connection lacks', async () => {
    expect((await answer('/surviving-changed')).body).toEqual(['57P01', 'served']);
  });
});

/** Serverless adapters pass a request to Express with a response that finishes and has no server to close it. */
describe('the connection of a request without a server', () => {
  @Injectable()
  class RefusingGuard implements CanActivate {
    constructor(@InjectQueryRunner() private readonly runner: QueryRunner) {}
    async canActivate(): Promise<boolean> {
      await this.runner.startTransaction();
      await this.runner.query('SELECT 1');
      return false;
    }
  }

  @Controller()
  class GuardedController {
    @Get('guarded')
    @UseGuards(RefusingGuard)
    guarded() {}
  }

  it('is released when the response finishes', async () => {
    const database = await createTestDatabase();
    const module = await Test.createTestingModule({
      imports: [DatabaseModule.forRoot({ url: database.url, pool: { size: 1, maxOverflow: 0 } })],
      controllers: [GuardedController],
    })
      .setLogger(new CapturingLogger())
      .compile();
    const app = await module.createNestApplication(new ExpressAdapter()).init();
    const handle = app.getHttpAdapter().getInstance() as RequestListener;

    for (let i = 0; i < 3; i++) {
      const request = new IncomingMessage(new Socket());
      Object.assign(request, {
        method: 'GET',
        url: '/guarded',
        httpVersionMajor: 1,
        headers: { host: 'test' },
      });
      const response = new ServerResponse(request);
      const sink = new Writable({ write: (_chunk, _encoding, done) => done() });
      response.assignSocket(sink as Socket);
      let closed = false;
      response.once('close', () => (closed = true));
      const finished = once(response, 'finish');
      handle(request, response);
      await finished;
      expect([response.statusCode, closed]).toEqual([403, false]);
      await poolAtRest(app.get(DataSource));
    }
    await app.close();
    await database.drop();
  });
});
