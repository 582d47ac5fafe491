import { afterAll, beforeAll, beforeEach, describe, expect, it } from '@jest/globals';
import {
  ArgumentMetadata,
  Body,
  Catch,
  ConflictException,
  Controller,
  Get,
  HttpException,
  Injectable,
  Param,
  Post,
  UseFilters,
  UseGuards,
  UseInterceptors,
  UsePipes,
} from '@nestjs/common';
import type {
  CallHandler,
  CanActivate,
  ExceptionFilter,
  ArgumentsHost,
  NestInterceptor,
  PipeTransform,
} from '@nestjs/common';
import { ExternalContextCreator } from '@nestjs/core';
import { DatabaseModule, DatabaseMonitor, InjectQueryRunner } from 'nestjs-database';
import { DataSource } from 'typeorm';
import type { QueryRunner } from 'typeorm';
import { createTestDatabase } from '../support/database.js';
import type { TestDatabase } from '../support/database.js';
import { startHttpApp } from '../support/http-app.js';
import type { HttpApp } from '../support/http-app.js';
import { poolAtRest } from '../support/pool-at-rest.js';

const INSERT = 'INSERT INTO notes (text) VALUES ($1)';

/** Begins a transaction on the request's runner, writes, and fails. */
async function writeAndFail(runner: QueryRunner, text: string): Promise<never> {
  await runner.startTransaction();
  await runner.query(INSERT, [text]);
  throw new ConflictException(text);
}

@Injectable()
class NotesService {
  constructor(@InjectQueryRunner() readonly runner: QueryRunner) {}
}

@Injectable()
class FailingGuard implements CanActivate {
  constructor(@InjectQueryRunner() private readonly runner: QueryRunner) {}
  canActivate(): Promise<boolean> {
    return writeAndFail(this.runner, 'guard');
  }
}

@Injectable()
class RefusingGuard implements CanActivate {
  constructor(@InjectQueryRunner() private readonly runner: QueryRunner) {}
  async canActivate(): Promise<boolean> {
    await this.runner.query('SELECT 1');
    return false;
  }
}

@Injectable()
class FailingPipe implements PipeTransform {
  constructor(@InjectQueryRunner() private readonly runner: QueryRunner) {}
  transform(_value: unknown, _metadata: ArgumentMetadata): Promise<never> {
    return writeAndFail(this.runner, 'pipe');
  }
}

@Injectable()
class FailingInterceptor implements NestInterceptor {
  constructor(@InjectQueryRunner() private readonly runner: QueryRunner) {}
  async intercept(_context: unknown, _next: CallHandler): Promise<never> {
    return writeAndFail(this.runner, 'interceptor');
  }
}

@Injectable()
class FailingAfterwards implements NestInterceptor {
  constructor(@InjectQueryRunner() private readonly runner: QueryRunner) {}
  async intercept(_context: unknown, next: CallHandler): Promise<any> {
    const { lastValueFrom, from } = await import('rxjs');
    await lastValueFrom(next.handle());
    return from(writeAndFail(this.runner, 'interceptor after the handler'));
  }
}

@Catch(HttpException)
@Injectable()
class QueryingFilter implements ExceptionFilter {
  constructor(@InjectQueryRunner() private readonly runner: QueryRunner) {}
  async catch(_error: HttpException, host: ArgumentsHost): Promise<void> {
    const rows = (await this.runner.query('SELECT count(*)::int AS notes FROM notes')) as unknown[];
    host.switchToHttp().getResponse().status(418).json(rows[0]);
  }
}

@Catch(HttpException)
@Injectable()
class FailingFilter implements ExceptionFilter {
  constructor(@InjectQueryRunner() private readonly runner: QueryRunner) {}
  async catch(_error: HttpException, host: ArgumentsHost): Promise<void> {
    await this.runner.startTransaction();
    await this.runner.query(INSERT, ['filter']);
    host.switchToHttp().getResponse().status(500).json({});
  }
}

const runnersSeen: QueryRunner[] = [];

@Controller('notes')
class NotesController {
  constructor(
    @InjectQueryRunner() private readonly runner: QueryRunner,
    private readonly service: NotesService,
  ) {}

  @Get('same')
  same() {
    runnersSeen.push(this.runner);
    return { same: this.runner === this.service.runner };
  }

  @Get('untouched')
  untouched() {
    return {
      isLeased: Boolean((this.runner as unknown as { databaseConnection?: unknown }).databaseConnection),
    };
  }

  @Post()
  async create(@Body('text') text: string) {
    await this.runner.startTransaction();
    await this.runner.query(INSERT, [text]);
    await this.runner.commitTransaction();
    return {};
  }

  @Post('forgotten')
  async forget(@Body('text') text: string) {
    await this.runner.startTransaction();
    await this.runner.query(INSERT, [text]);
    return {};
  }

  @Post('failing/:how')
  async fail(@Param('how') how: string) {
    await this.runner.startTransaction();
    await this.runner.query(INSERT, [how]);
    if (how === 'sql') await this.runner.query('SELECT 1 / 0');
    throw new Error(how);
  }

  @Post('guard')
  @UseGuards(FailingGuard)
  guard() {}

  @Post('refused')
  @UseGuards(RefusingGuard)
  refused() {}

  @Post('pipe/:id')
  @UsePipes(FailingPipe)
  pipe(@Param('id') _id: string) {}

  @Post('interceptor')
  @UseInterceptors(FailingInterceptor)
  interceptor() {}

  @Post('interceptor-after')
  @UseInterceptors(FailingAfterwards)
  interceptorAfter() {}

  @Post('filter')
  @UseFilters(QueryingFilter)
  filter() {
    return writeAndFail(this.runner, 'before a filter');
  }

  @Post('failing-filter')
  @UseFilters(FailingFilter)
  failingFilter() {
    throw new ConflictException();
  }
}

describe('the query runner of a request', () => {
  let database: TestDatabase;
  let http: HttpApp;
  const post = (path: string, body: unknown = {}) =>
    http.fetch(path, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify(body),
    });
  const notes = async () =>
    (await database.sql<{ text: string }>('SELECT text FROM notes')).map(({ text }) => text);
  /** The response may arrive before the server has seen its 'close' event. */
  const everythingReleased = async () => {
    await poolAtRest(http.app.get(DataSource));
    const busy = await database.sql(
      `SELECT state FROM pg_stat_activity WHERE application_name = 'request' AND datname = current_database() AND state <> 'idle'`,
    );
    expect(busy).toEqual([]);
  };

  beforeAll(async () => {
    database = await createTestDatabase();
    await database.sql('CREATE TABLE notes (text text)');
    await database.sql('ALTER TABLE notes OWNER TO app');
    http = await startHttpApp({
      imports: [
        DatabaseModule.forRoot({
          url: database.url,
          applicationName: 'request',
          pool: { size: 1, maxOverflow: 1, acquireTimeoutMs: 2000 },
        }),
      ],
      controllers: [NotesController],
      providers: [NotesService],
    });
  });
  beforeEach(async () => {
    await database.sql('TRUNCATE notes');
    runnersSeen.length = 0;
  });
  afterAll(async () => {
    await http?.close();
    await database.drop();
  });

  it('is the same for all injections of one request and differs between requests', async () => {
    expect((await http.fetch('/notes/same')).body).toEqual({ same: true });
    expect((await http.fetch('/notes/same')).body).toEqual({ same: true });
    expect(runnersSeen[0]).not.toBe(runnersSeen[1]);
  });

  it('acquires no connection until it is used', async () => {
    expect((await http.fetch('/notes/untouched')).body).toEqual({ isLeased: false });
    expect(http.app.get(DatabaseMonitor).poolStats().checkedOut).toBe(0);
  });

  it('keeps committed rows', async () => {
    expect((await post('/notes', { text: 'kept' })).status).toBe(201);
    await everythingReleased();
    expect(await notes()).toEqual(['kept']);
  });

  it('is rolled back when the handler forgets to commit, with a warning that names the route', async () => {
    expect((await post('/notes/forgotten', { text: 'lost' })).status).toBe(201);
    await everythingReleased();
    expect(await notes()).toEqual([]);
    expect(http.logger.text).toMatch(/POST \/notes\/forgotten/);
  });

  it.each([
    ['a handler', '/notes/failing/throw', 500],
    ['a handler whose statement fails', '/notes/failing/sql', 500],
    ['a guard', '/notes/guard', 409],
    ['a guard that refuses', '/notes/refused', 403],
    ['a pipe', '/notes/pipe/1', 409],
    ['an interceptor before the handler', '/notes/interceptor', 409],
    ['an interceptor after the handler', '/notes/interceptor-after', 409],
    ['a handler before a filter that queries', '/notes/filter', 418],
    ['a filter', '/notes/failing-filter', 500],
  ])('is rolled back and released after an error in %s', async (_where, path, status) => {
    const answer = await post(path);
    expect(answer.status).toBe(status);
    await everythingReleased();
    expect(await notes()).toEqual([]);
  });

  it('does not see the rolled-back rows in an exception filter', async () => {
    expect((await post('/notes/filter')).body).toEqual({ notes: 0 });
  });

  it('ignores handlers of another transport whose context type is http', async () => {
    const handler = http.app
      .get(ExternalContextCreator)
      .create({ run: () => 'ran' }, () => 'ran', 'run') as unknown as (
      ...given: unknown[]
    ) => Promise<unknown>;
    expect(await handler(undefined)).toBe('ran');
    expect(await handler('job-1')).toBe('ran');
  });

  it('serves many more requests than the pool has connections', async () => {
    const answers = await Promise.all(
      Array.from({ length: 60 }, (_, i) =>
        post(i % 3 ? '/notes' : '/notes/failing/throw', { text: `note ${i}` }),
      ),
    );
    expect(answers.map(({ status }) => status).sort()).toEqual([
      ...Array<number>(40).fill(201),
      ...Array<number>(20).fill(500),
    ]);
    await everythingReleased();
    expect(await notes()).toHaveLength(40);
  });
});
