import { once } from 'node:events';
import { get as httpGet } from 'node:http';
import type { IncomingMessage, ServerResponse } from 'node:http';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from '@jest/globals';
import {
  applyDecorators,
  Catch,
  Controller,
  Get,
  Header,
  HttpCode,
  Injectable,
  Next,
  Param,
  ParseIntPipe,
  Query,
  Redirect,
  Req,
  RequestTimeoutException,
  Res,
  Scope,
  SetMetadata,
  Sse,
  UseFilters,
  UseGuards,
  UseInterceptors,
} from '@nestjs/common';
import type {
  ArgumentsHost,
  CallHandler,
  CanActivate,
  ExceptionFilter,
  ExecutionContext,
  MiddlewareConsumer,
  NestInterceptor,
  NestMiddleware,
  NestModule,
} from '@nestjs/common';
import { APP_INTERCEPTOR, ApplicationConfig, ContextIdFactory, ModuleRef, Reflector } from '@nestjs/core';
import {
  DatabaseModule,
  getDataSourceToken,
  getQueryRunnerToken,
  InjectQueryRunner,
  InjectUnitOfWork,
  ManagedDataSource,
} from 'nestjs-database';
import type { UnitOfWork } from 'nestjs-database';
import { catchError, defer, from, map, mergeMap, Observable, retry, timeout } from 'rxjs';
import { DataSource } from 'typeorm';
import type { QueryRunner } from 'typeorm';
import { innermostScope } from '../../src/data-source/execution-scope.js';
import { createTestDatabase } from '../support/database.js';
import type { TestDatabase } from '../support/database.js';
import { ADAPTERS, startHttpApp } from '../support/http-app.js';
import type { HttpApp } from '../support/http-app.js';
import { poolAtRest } from '../support/pool-at-rest.js';
import { happened, seen } from './enhancers.js';

const INSERT = 'INSERT INTO notes (text) VALUES ($1)';

const write = (runner: QueryRunner, text: string) => runner.query(INSERT, [text]);
const begin = async (runner: QueryRunner, text: string) => {
  await runner.startTransaction();
  await write(runner, text);
};
const codeOf = (work: Promise<unknown>): Promise<string> =>
  work.then(
    () => 'done',
    (error: Error & { code?: string }) => error.code ?? error.message.split('\n', 1)[0]!,
  );

interface PlatformRequest {
  raw?: IncomingMessage;
}
const messageOf = (request: unknown) => (request as PlatformRequest).raw ?? (request as IncomingMessage);
const rawResponse = (response: unknown) =>
  (response as { raw?: ServerResponse }).raw ?? (response as ServerResponse);
/** The listeners of a response, by event. */
const listenersOf = (response: unknown) => {
  const raw = rawResponse(response);
  return Object.fromEntries(raw.eventNames().map((name) => [String(name), raw.listenerCount(name)]));
};

/** Lets handlers that wait for the test continue. */
let goOn: Promise<void>;
let letGoOn: () => void;
let attempts: number;
beforeEach(() => {
  attempts = 0;
  seen.length = 0;
  goOn = new Promise((resolve) => (letGoOn = resolve));
});
afterEach(() => letGoOn());

// ---- routes without a runner of the request ---------------------------------------------------------------------------

let footprint: unknown;

@Controller('static')
class StaticController {
  @Get('footprint')
  footprint(@Req() request: unknown, @Res({ passthrough: true }) response: unknown) {
    const symbols = Object.getOwnPropertySymbols(messageOf(request));
    footprint = {
      symbols: symbols.map(String).filter((symbol) => symbol.includes('nestjs-database')),
      listeners: listenersOf(response),
      scope: innermostScope(),
    };
    return 'ok';
  }
}

const staticMethod = StaticController.prototype.footprint;

/** Request-scoped, without a runner. */
@Controller({ path: 'runnerless', scope: Scope.REQUEST })
class RunnerlessController {
  @Get()
  serve(@Res({ passthrough: true }) response: unknown, given = 'default') {
    return { count: arguments.length, given, listeners: listenersOf(response), scope: innermostScope() };
  }
}

const runnerlessMethod = RunnerlessController.prototype.serve;

// ---- routes with a runner of the request ------------------------------------------------------------------------------

const Labels = (...labels: string[]) => applyDecorators(SetMetadata('labels', labels));

@Injectable()
class LabelGuard implements CanActivate {
  constructor(private readonly reflector: Reflector) {}
  canActivate(context: ExecutionContext): boolean {
    const handler = context.getHandler();
    const labels = this.reflector.get<string[] | undefined>('labels', handler);
    context.switchToHttp().getRequest().seenByGuard = { labels, name: handler.name, length: handler.length };
    return true;
  }
}

class BaseController {
  constructor(@InjectQueryRunner() readonly runner: QueryRunner) {}

  @Get('inherited/:id')
  @HttpCode(202)
  async inherited(@Param('id', ParseIntPipe) id: number) {
    await begin(this.runner, `inherited ${id}`);
    return { id };
  }

  @Get('overridden')
  overridden(@Query('a') a: string, b?: unknown) {
    return { a, b: typeof b };
  }
}

@Controller('runner')
@UseGuards(LabelGuard)
class RunnerController extends BaseController {
  constructor(
    @InjectQueryRunner() runner: QueryRunner,
    @InjectUnitOfWork() private readonly unit: UnitOfWork,
  ) {
    super(runner);
  }

  @Get('overridden')
  override overridden(@Query('a') a: string, @Req() request: unknown) {
    return super.overridden(a, request);
  }

  @Get(['labelled', 'labelled-too'])
  @Labels('a', 'b')
  @HttpCode(203)
  @Header('x-labelled', 'yes')
  labelled(@Req() request: { seenByGuard: unknown }, @Query('n', ParseIntPipe) n: number) {
    return { guard: request.seenByGuard, n };
  }

  @Get('arguments')
  arguments(@Query('first') first: string, second = 'default', ...rest: unknown[]) {
    return { count: arguments.length, first, second, rest };
  }

  @Get('redirected')
  @Redirect('/runner/arguments', 301)
  redirected() {}

  @Get('response')
  async response(@Res() response: any) {
    await this.runner.query('SELECT 1');
    if (response.raw) response.code(299).send('by the handler');
    else response.status(299).send('by the handler');
  }

  @Get('listeners')
  async listeners(@Res({ passthrough: true }) response: unknown) {
    const before = listenersOf(response);
    await this.runner.query('SELECT 1');
    await this.unit.createQueryRunner().query('SELECT 1');
    await begin(this.runner, 'listeners');
    await this.runner.rollbackTransaction();
    await this.runner.query(`SET application_name = 'changed'`);
    return { before, after: listenersOf(response) };
  }

  // ---- results

  @Get('value')
  value() {
    seen.push(this.scoped());
    return { kind: 'value' };
  }

  @Get('promise')
  async promise() {
    await begin(this.runner, 'promise');
    seen.push(this.scoped());
    return { kind: 'promise' };
  }

  @Get('thenable')
  thenable() {
    let calls = 0;
    return {
      then: (resolve: (value: unknown) => void) => {
        calls += 1;
        seen.push(this.scoped());
        void begin(this.runner, 'thenable').then(() => resolve({ kind: 'thenable', calls }));
      },
    };
  }

  @Get('observable')
  observable() {
    return new Observable((subscriber) => {
      seen.push(this.scoped());
      void begin(this.runner, 'observable').then(() => {
        subscriber.next({ kind: 'observable' });
        subscriber.complete();
      });
    });
  }

  /** The transaction that the handler begins is that of the Observable. */
  @Get('promise-of-observable')
  async promiseOfObservable() {
    await begin(this.runner, 'promise of observable');
    return defer(async () => {
      seen.push(this.scoped());
      await write(this.runner, 'in the observable');
      await this.runner.commitTransaction();
      return { kind: 'promise of observable' };
    });
  }

  @Get('throwing')
  throwing() {
    void begin(this.runner, 'throwing').then(
      () => seen.push('began after the throw'),
      (error: { code: string }) => seen.push(`began: ${error.code}`),
    );
    throw new Error('synchronous');
  }

  @Get('failing-observable')
  failingObservable() {
    return from(begin(this.runner, 'failing')).pipe(
      map(() => {
        throw new Error('in the observable');
      }),
    );
  }

  @Sse('events')
  async events(): Promise<Observable<{ data: string }>> {
    await begin(this.runner, 'event');
    return new Observable((subscriber) => {
      subscriber.next({ data: 'first' });
      return () => seen.push('events closed');
    });
  }

  @Get('passing-on')
  async passingOn(@Next() next: (() => void) | undefined) {
    await begin(this.runner, 'passed on');
    next?.();
    await goOn;
    await this.runner.commitTransaction();
    seen.push('passed on');
  }

  private scoped(): string {
    return innermostScope() ? 'in a scope' : 'in no scope';
  }
}

@Controller('two')
class TwoSourcesController {
  constructor(
    @InjectQueryRunner() private readonly first: QueryRunner,
    @InjectQueryRunner('second') private readonly second: QueryRunner,
  ) {}

  @Get()
  async both() {
    await begin(this.first, 'first');
    await begin(this.second, 'second');
    return { same: this.first === this.second };
  }
}

@Controller('runner')
class FollowingController {
  constructor(@InjectQueryRunner() private readonly runner: QueryRunner) {}

  @Get('passing-on')
  async follow() {
    await this.runner.query('SELECT 1');
    return 'by the second handler';
  }
}

// ---- interceptors -----------------------------------------------------------------------------------------------------

@Injectable()
class TimeoutInterceptor implements NestInterceptor {
  intercept(_context: ExecutionContext, next: CallHandler): Observable<unknown> {
    return next.handle().pipe(
      timeout(50),
      catchError(() => {
        throw new RequestTimeoutException();
      }),
    );
  }
}

@Injectable()
class ImpatientInterceptor implements NestInterceptor {
  intercept(_context: ExecutionContext, next: CallHandler): Observable<unknown> {
    return next.handle().pipe(timeout(200), retry(1));
  }
}

@Injectable()
class RetryInterceptor implements NestInterceptor {
  intercept(_context: ExecutionContext, next: CallHandler): Observable<unknown> {
    return next.handle().pipe(retry(2));
  }
}

/** Begins a transaction and refuses the request. */
@Injectable()
class BeginningGuard implements CanActivate {
  constructor(@InjectQueryRunner() private readonly runner: QueryRunner) {}
  async canActivate(): Promise<boolean> {
    await begin(this.runner, 'guard');
    return false;
  }
}

@Catch()
class BigFilter implements ExceptionFilter {
  catch(_error: unknown, host: ArgumentsHost): void {
    host.switchToHttp().getResponse().status(500).send('x'.repeat(16_000_000));
  }
}

/** One transaction around the handler. */
@Injectable()
class TransactionInterceptor implements NestInterceptor {
  constructor(@InjectQueryRunner() private readonly runner: QueryRunner) {}
  async intercept(_context: ExecutionContext, next: CallHandler): Promise<Observable<unknown>> {
    await this.runner.startTransaction();
    return next.handle().pipe(
      mergeMap(async (value) => {
        await this.runner.commitTransaction();
        return value as unknown;
      }),
      catchError(async (error: unknown) => {
        await this.runner.rollbackTransaction();
        throw error;
      }),
    );
  }
}

@Controller('intercepted')
class InterceptedController {
  constructor(@InjectQueryRunner() private readonly runner: QueryRunner) {}

  @Get('abandoned')
  @UseInterceptors(TimeoutInterceptor)
  async abandoned() {
    await begin(this.runner, 'abandoned');
    await goOn;
    seen.push(`late statement: ${await codeOf(write(this.runner, 'too late'))}`);
    seen.push(`late commit: ${await codeOf(this.runner.commitTransaction())}`);
  }

  @Get('retried')
  @UseInterceptors(RetryInterceptor)
  async retried() {
    attempts += 1;
    await begin(this.runner, `attempt ${attempts}`);
    // No rollback here.
    if (attempts < 3) throw new Error('once more');
    await this.runner.commitTransaction();
    return { attempts };
  }

  @Get('impatient')
  @UseInterceptors(ImpatientInterceptor)
  async impatient() {
    attempts += 1;
    const isFirst = attempts === 1;
    await begin(this.runner, `attempt ${attempts}`);
    if (isFirst) {
      await goOn;
      seen.push(`late statement: ${await codeOf(write(this.runner, 'too late'))}`);
      seen.push(`late commit: ${await codeOf(this.runner.commitTransaction())}`);
    } else {
      letGoOn();
      await happened('late commit: TRANSACTION_ROLLED_BACK');
      await this.runner.commitTransaction();
    }
    return 'ok';
  }

  @Get('transaction')
  @UseInterceptors(TransactionInterceptor)
  async transaction(@Query('fail') fail?: string) {
    await write(this.runner, 'in the interceptor');
    if (fail) throw new Error('rolled back');
    return { committed: true };
  }

  @Get('guarded')
  @UseGuards(BeginningGuard)
  @UseFilters(BigFilter)
  guarded() {}

  @Get('plain')
  async plain(): Promise<unknown> {
    await begin(this.runner, 'plain');
    return 'ok';
  }

  @Get('written')
  async written() {
    await write(this.runner, 'in the interceptor of the app');
    return 'ok';
  }
}

@Controller('class-intercepted')
@UseInterceptors(TimeoutInterceptor)
class ClassInterceptedController extends InterceptedController {
  @Get('plain')
  override async plain(): Promise<unknown> {
    await super.plain();
    await goOn;
    return 'too late';
  }
}

// ---- requests whose handler is not tracked ----------------------------------------------------------------------------

@Injectable()
class BeginningMiddleware implements NestMiddleware {
  constructor(@InjectQueryRunner() private readonly runner: QueryRunner) {}
  async use(request: { runner?: QueryRunner }, _response: unknown, next: () => void): Promise<void> {
    await begin(this.runner, 'middleware');
    request.runner = this.runner;
    next();
  }
}

@Controller('untracked')
class UntrackedController {
  constructor(private readonly modules: ModuleRef) {}

  @Get('middleware')
  middleware() {
    return 'ok';
  }

  @Get('resolved')
  async resolved(@Req() request: object) {
    const contextId = ContextIdFactory.getByRequest(request);
    this.modules.registerRequestByContextId(request, contextId);
    const runner = await this.modules.resolve<QueryRunner>(getQueryRunnerToken(), contextId, {
      strict: false,
    });
    await begin(runner, 'resolved');
    seen.push('resolved began');
    await goOn;
    seen.push(`resolved: ${await codeOf(runner.startTransaction())}`);
    return 'ok';
  }
}

class AppModule implements NestModule {
  configure(consumer: MiddlewareConsumer): void {
    consumer.apply(BeginningMiddleware).forRoutes('untracked/middleware');
  }
}

describe.each(ADAPTERS)('the handlers of requests on %s', (platform, adapter) => {
  let database: TestDatabase;
  let http: HttpApp;
  let withoutModule: HttpApp;

  const notes = async () =>
    (await database.sql<{ text: string }>('SELECT text FROM notes ORDER BY text')).map(({ text }) => text);
  const everythingReleased = async () => {
    await poolAtRest(http.app.get(DataSource));
    expect((http.app.get<DataSource, ManagedDataSource>(DataSource).pool?.leases() ?? []).length).toBe(0);
  };
  const databaseModule = () =>
    DatabaseModule.forRoot({
      url: database.url,
      applicationName: 'handlers',
      pool: { size: 3, maxOverflow: 0, acquireTimeoutMs: 5_000 },
    });

  beforeAll(async () => {
    database = await createTestDatabase();
    await database.sql('CREATE TABLE notes (text text)');
    await database.sql('ALTER TABLE notes OWNER TO app');
    withoutModule = await startHttpApp({ controllers: [StaticController] }, undefined, adapter());
    http = await startHttpApp(
      {
        imports: [databaseModule(), AppModule],
        controllers: [
          StaticController,
          RunnerlessController,
          RunnerController,
          ...(platform === 'Express' ? [FollowingController] : []),
          InterceptedController,
          ClassInterceptedController,
          UntrackedController,
        ],
      },
      undefined,
      adapter(),
    );
  });
  beforeEach(async () => {
    await database.sql('TRUNCATE notes');
  });
  afterEach(async () => {
    letGoOn();
    await everythingReleased();
  });
  afterAll(async () => {
    await http?.close();
    await withoutModule?.close();
    await database.drop();
  });

  describe('of a static controller', () => {
    it('run as in an app without the module', async () => {
      const since = async ({ fetch }: HttpApp) => {
        await fetch('/static/footprint');
        return footprint as { symbols: string[]; listeners: object; scope: unknown };
      };
      const plain = await since(withoutModule);
      const ours = await since(http);
      expect(ours.listeners).toEqual(plain.listeners);
      expect(ours.scope).toBeUndefined();
      // The request of Fastify has no reference to its response.
      const known = platform === 'Express' ? [] : ['Symbol(nestjs-database.response)'];
      expect(ours.symbols).toEqual(known);
      const config = http.app.get(ApplicationConfig);
      expect(config.getGlobalInterceptors()).toEqual([]);
      expect(config.getGlobalRequestInterceptors()).toEqual([]);
      expect(StaticController.prototype.footprint).toBe(staticMethod);
    });

    it('end with the response, together with a transaction that a middleware has begun', async () => {
      expect((await http.fetch('/untracked/middleware')).body).toBe('ok');
      await everythingReleased();
      expect(await notes()).toEqual([]);
    });

    it('keep no transaction on a runner that they have resolved once the client has disconnected', async () => {
      const request = httpGet(`${http.url}/untracked/resolved`, { agent: false });
      request.on('error', () => undefined);
      await happened('resolved began');
      request.destroy();
      await everythingReleased();
      letGoOn();
      await happened('resolved: REQUEST_CLOSED');
      expect(await notes()).toEqual([]);
    });
  });

  it('of a request-scoped controller without a runner get what they declare, and run in no scope', async () => {
    const { body } = await http.fetch('/runnerless');
    await http.fetch('/static/footprint');
    const { listeners } = footprint as { listeners: object };
    expect(body).toEqual({ count: 1, given: 'default', listeners });
    // Each further parameter of a route costs each of its requests.
    expect(RunnerlessController.prototype.serve).toBe(runnerlessMethod);
  });

  describe('of a request-scoped controller', () => {
    it.each(['labelled', 'labelled-too'])('keep their metadata on the route %s', async (route) => {
      const response = await fetch(`${http.url}/runner/${route}?n=7`);
      expect(response.status).toBe(203);
      expect(response.headers.get('x-labelled')).toBe('yes');
      const guard = { labels: ['a', 'b'], name: 'labelled', length: 2 };
      expect(await response.json()).toEqual({ guard, n: 7 });
    });

    it('get no further argument, so that default values apply', async () => {
      expect((await http.fetch('/runner/arguments?first=1')).body).toEqual({
        count: 1,
        first: '1',
        second: 'default',
        rest: [],
      });
    });

    it('are refused by their pipes as before', async () => {
      expect((await http.fetch('/runner/labelled?n=x')).status).toBe(400);
    });

    it('are inherited with their parameters, and their transactions end with them', async () => {
      const answer = await http.fetch('/runner/inherited/5');
      expect(answer).toEqual({ status: 202, body: { id: 5 } });
      await everythingReleased();
      expect(await notes()).toEqual([]);
      // The class that declares the method is no controller.
      expect(Object.hasOwn(RunnerController.prototype, 'inherited')).toBe(true);
    });

    it('call an overridden handler with an argument of their own', async () => {
      expect((await http.fetch('/runner/overridden?a=1')).body).toEqual({ a: '1', b: 'object' });
    });

    it('redirect', async () => {
      const { status } = await fetch(`${http.url}/runner/redirected`, { redirect: 'manual' });
      expect(status).toBe(301);
    });

    it('send the response themselves', async () => {
      expect(await http.fetch('/runner/response')).toEqual({ status: 299, body: 'by the handler' });
    });

    it('listen to the response for no statement, transaction or change of the session', async () => {
      const { before, after } = (await http.fetch('/runner/listeners')).body;
      await http.fetch('/static/footprint');
      expect(before).toEqual((footprint as { listeners: object }).listeners);
      expect(after).toEqual(before);
    });

    it.each([
      ['a value', 'value', { kind: 'value' }],
      ['a promise', 'promise', { kind: 'promise' }],
      ['a thenable, which is called once', 'thenable', { kind: 'thenable', calls: 1 }],
      ['an Observable', 'observable', { kind: 'observable' }],
    ])('run in a scope until they have returned %s', async (_what, route, body) => {
      expect((await http.fetch(`/runner/${route}`)).body).toEqual(body);
      expect(seen).toEqual(['in a scope']);
      await everythingReleased();
      expect(await notes()).toEqual([]);
    });

    it('run in one scope until the Observable that their promise resolves to has completed', async () => {
      const { body } = await http.fetch('/runner/promise-of-observable');
      expect(body).toEqual({ kind: 'promise of observable' });
      expect(seen).toEqual(['in a scope']);
      expect(await notes()).toEqual(['in the observable', 'promise of observable']);
    });

    it.each(['throwing', 'failing-observable'])('are rolled back when they fail by %s', async (route) => {
      expect((await http.fetch(`/runner/${route}`)).status).toBe(500);
      await everythingReleased();
      expect(await notes()).toEqual([]);
    });

    it('are not ended by the handler that they pass the request on to', async () => {
      // The routes of Fastify cannot pass a request on.
      if (platform !== 'Express') return;
      expect((await http.fetch('/runner/passing-on')).body).toBe('by the second handler');
      letGoOn();
      await happened('passed on');
      expect(await notes()).toEqual(['passed on']);
    });

    it('keep their transaction while server-sent events are open', async () => {
      const request = httpGet(`${http.url}/runner/events`, { agent: false });
      request.on('error', () => undefined);
      const [response] = (await once(request, 'response')) as [IncomingMessage];
      await once(response, 'data');
      expect(http.app.get<DataSource, ManagedDataSource>(DataSource).pool?.leases()).toHaveLength(1);
      request.destroy();
      await happened('events closed');
      await everythingReleased();
      expect(await notes()).toEqual([]);
    });
  });

  describe('with an interceptor', () => {
    it('that abandons them are rolled back, and their late statements are refused', async () => {
      expect((await http.fetch('/intercepted/abandoned')).status).toBe(408);
      await everythingReleased();
      letGoOn();
      await happened('late commit: TRANSACTION_ROLLED_BACK');
      expect(seen[0]).toBe(
        'late statement: Query runner already released (of GET /intercepted/abandoned). Cannot run queries anymore. Its request has ended.',
      );
      expect(await notes()).toEqual([]);
    });

    it('of their class that abandons them are rolled back as well', async () => {
      expect((await http.fetch('/class-intercepted/plain')).status).toBe(408);
      await everythingReleased();
      expect(await notes()).toEqual([]);
    });

    it('that calls them again begin a new transaction', async () => {
      expect((await http.fetch('/intercepted/retried')).body).toEqual({ attempts: 3 });
      expect(await notes()).toEqual(['attempt 3']);
    });

    it('that abandons them and calls them again are not touched by the abandoned call', async () => {
      expect((await http.fetch('/intercepted/impatient')).body).toBe('ok');
      expect(seen).toEqual([
        'late statement: TRANSACTION_ROLLED_BACK',
        'late commit: TRANSACTION_ROLLED_BACK',
      ]);
      expect(await notes()).toEqual(['attempt 2']);
    });

    it('that begins a transaction around them are committed by it', async () => {
      expect((await http.fetch('/intercepted/transaction')).body).toEqual({ committed: true });
      expect(await notes()).toEqual(['in the interceptor']);
    });

    it('that begins a transaction around them are rolled back by it', async () => {
      expect((await http.fetch('/intercepted/transaction?fail=yes')).status).toBe(500);
      await everythingReleased();
      expect(await notes()).toEqual([]);
    });

    it('on another method of the controller are rolled back when they settle', async () => {
      expect((await http.fetch('/intercepted/plain')).body).toBe('ok');
      await everythingReleased();
      expect(await notes()).toEqual([]);
    });

    it('of the whole app, which begins a transaction and injects the runner, are committed by it', async () => {
      const other = await startHttpApp(
        {
          imports: [databaseModule()],
          providers: [{ provide: APP_INTERCEPTOR, useClass: TransactionInterceptor, scope: Scope.REQUEST }],
          controllers: [InterceptedController],
        },
        undefined,
        adapter(),
      );
      expect((await other.fetch('/intercepted/written')).body).toBe('ok');
      expect((await other.fetch('/intercepted/transaction?fail=yes')).status).toBe(500);
      await poolAtRest(other.app.get(DataSource));
      await other.close();
      expect(await notes()).toEqual(['in the interceptor of the app']);
    });
  });

  it('that a guard refuses hold no connection while the client slowly reads the answer', async () => {
    const request = httpGet(`${http.url}/intercepted/guarded`, { agent: false });
    request.on('error', () => undefined);
    const [response] = (await once(request, 'response')) as [IncomingMessage];
    response.pause();
    await everythingReleased();
    expect(response.complete).toBe(false);
    request.destroy();
    expect(await notes()).toEqual([]);
  });

  it('end their transactions on each data source', async () => {
    const second = DatabaseModule.forRoot({ url: database.url, name: 'second', pool: { size: 1 } });
    const other = await startHttpApp(
      { imports: [databaseModule(), second], controllers: [TwoSourcesController] },
      undefined,
      adapter(),
    );
    expect((await other.fetch('/two')).body).toEqual({ same: false });
    await poolAtRest(other.app.get(DataSource));
    await poolAtRest(other.app.get(getDataSourceToken('second')));
    await other.close();
    expect(await notes()).toEqual([]);
  });

  it('of a class that two apps share are tracked in both', async () => {
    const other = await startHttpApp(
      {
        imports: [databaseModule()],
        providers: [{ provide: APP_INTERCEPTOR, useClass: RetryInterceptor }],
        controllers: [RunnerController],
      },
      undefined,
      adapter(),
    );
    for (const app of [http, other, http]) {
      expect((await app.fetch('/runner/inherited/1')).body).toEqual({ id: 1 });
      expect((await app.fetch('/runner/arguments?first=1')).body.count).toBe(1);
      expect((await app.fetch('/runner/promise-of-observable')).status).toBe(200);
    }
    await poolAtRest(other.app.get(DataSource));
    await other.close();
    expect((await notes()).filter((text) => text.startsWith('inherited'))).toEqual([]);
  });
});
