import { inspect } from 'node:util';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { ConsoleLogger, Controller, Get } from '@nestjs/common';
import {
  DatabaseModule,
  InjectQueryRunner,
  InjectRepository,
  PoolAcquireTimeoutError,
} from 'nestjs-database';
import type { ConnectionPool } from 'nestjs-database/pool';
import { DataSource, QueryFailedError, Repository } from 'typeorm';
import type { QueryRunner } from 'typeorm';
import { User } from '../../support/entities.js';
import { startHttpApp } from '../../support/http-app.js';
import type { HttpApp } from '../../support/http-app.js';
import { createTestDatabase } from '../../support/database.js';
import type { TestDatabase } from '../../support/database.js';

/** A statement that fails, with its parameters. */
const wrong = [`SELECT 1 / $1::int AS quotient`, [0]] as const;

@Controller()
class UsersController {
  constructor(
    private readonly dataSource: DataSource,
    @InjectRepository(User) private readonly users: Repository<User>,
  ) {}

  @Get('data-source')
  async viaDataSource() {
    const rows: unknown = await this.dataSource.query(wrong[0], [...wrong[1]]);
    return rows;
  }

  @Get('repository')
  async viaRepository() {
    const user = await this.users.findOneBy({ id: 'personal' as never });
    return user;
  }

  @Get('save')
  async viaSave() {
    const user = await this.users.save({ id: 1, name: null as never });
    return user;
  }

  @Get('transaction')
  async viaTransaction() {
    const rows: unknown = await this.dataSource.transaction((manager) =>
      manager.query(wrong[0], [...wrong[1]]),
    );
    return rows;
  }
}

@Controller()
class RunnerController {
  constructor(@InjectQueryRunner() private readonly runner: QueryRunner) {}

  @Get('runner')
  async viaRunner() {
    const rows: unknown = await this.runner.query(wrong[0], [...wrong[1]]);
    return rows;
  }

  @Get('runner-find')
  async viaRunnerFind() {
    const user = await this.runner.manager.findOneBy(User, { id: 'personal' as never });
    return user;
  }

  @Get('runner-begin')
  async viaRunnerBegin() {
    await this.runner.startTransaction();
    const rows: unknown = await this.runner.query(wrong[0], [...wrong[1]]);
    return rows;
  }

  @Get('runner-connect')
  async viaConnect() {
    await this.runner.connect();
    return 'connected';
  }

  @Get('runner-stream')
  async viaStream() {
    await this.runner.stream('SELECT 1');
    return 'streaming';
  }
}

const routes = [
  ['data-source', 'UsersController', 'viaDataSource'],
  ['repository', 'UsersController', 'viaRepository'],
  ['save', 'UsersController', 'viaSave'],
  ['transaction', 'UsersController', 'viaTransaction'],
  ['runner', 'RunnerController', 'viaRunner'],
  ['runner-find', 'RunnerController', 'viaRunnerFind'],
  ['runner-begin', 'RunnerController', 'viaRunnerBegin'],
] as const;

/** Routes whose method fails only while it waits for a connection. */
const waitingRoutes = [
  ['runner-connect', 'RunnerController', 'viaConnect'],
  ['runner-stream', 'RunnerController', 'viaStream'],
] as const;

const poolOf = ({ app }: HttpApp) => app.get<{ pool: ConnectionPool }>(DataSource).pool;

describe("an error in the log of Nest's own logger", () => {
  let database: TestDatabase;
  let http: HttpApp;
  let logged: unknown[];
  /** The error of a route, with the stack limit of Node instead of that of Jest. */
  const errorOf = async (route: string): Promise<Error & { code?: string }> => {
    logged = [];
    const limit = Error.stackTraceLimit;
    Error.stackTraceLimit = 10;
    try {
      await http.fetch(`/${route}`);
    } finally {
      Error.stackTraceLimit = limit;
    }
    expect(logged).toHaveLength(1);
    return logged[0] as Error;
  };
  /** The text that `ConsoleLogger` prints. */
  const printed = (error: Error, json = false): string => {
    let text = '';
    const { write } = process.stderr;
    process.stderr.write = (chunk: unknown) => Boolean((text += String(chunk)));
    try {
      new ConsoleLogger({ colors: false, json }).error(error);
    } finally {
      process.stderr.write = write;
    }
    return text;
  };

  beforeAll(async () => {
    database = await createTestDatabase();
    http = await startHttpApp({
      imports: [
        DatabaseModule.forRoot({
          url: database.url,
          entities: [User],
          synchronize: true,
          httpErrors: false,
          pool: { size: 1, maxOverflow: 0, acquireTimeoutMs: 1000 },
        }),
        DatabaseModule.forFeature([User]),
      ],
      controllers: [UsersController, RunnerController],
    });
    http.logger.error = (message: unknown) => void logged.push(message);
  });
  afterAll(async () => {
    await http.close();
    await database.drop();
  });

  it.each(routes)(
    'of a statement has a stack that begins in the code of the app: GET /%s',
    async (route, type, method) => {
      const error = await errorOf(route);
      expect(error).toBeInstanceOf(QueryFailedError);
      expect(error.stack).toContain(`${type}.${method}`);
      expect(error.stack?.split('\n')[1]).toMatch(/errors\.spec\.ts/);
      expect(error.stack?.split('\n').length).toBeLessThan(12);
      // As with `pg`, the error of the server leads to the code that awaits the statement, not to the socket.
      expect((error as QueryFailedError).driverError.stack).not.toMatch(/pg-protocol/);
    },
  );

  it.each([...routes, ...waitingRoutes])(
    'of a wait for a connection has a stack that begins in the code of the app: GET /%s',
    async (route, type, method) => {
      const held = await poolOf(http).acquire();
      try {
        const error = await errorOf(route);
        expect(error).toBeInstanceOf(PoolAcquireTimeoutError);
        // A frame may have two names: `query [as viaRunner]`.
        expect(error.stack).toMatch(new RegExp(`${type}\\.(\\S+ \\[as )?${method}`));
        expect(error.stack?.split('\n')[1]).toMatch(/errors\.spec\.ts/);
      } finally {
        held.release();
      }
    },
  );

  it('of a statement is one paragraph, with the message of the server and without the parameters', async () => {
    const error = await errorOf('repository');
    const text = printed(error);
    expect(text.trim().split('\n').length).toBeLessThan(10);
    expect(text).toContain(`code: '22P02'`);
    expect(text).toContain('query: \'SELECT "User"."id"');
    expect(text).not.toContain('driverError');
    expect(text).not.toContain('parameters');
    expect(text).not.toContain('undefined');
    expect(printed(error, true).trim().split('\n')).toHaveLength(1);
    expect(Object.keys(error)).not.toContain('driverError');
    // Programs can read all of it.
    expect(error).toMatchObject({
      parameters: ['personal'],
      driverError: { code: '22P02', routine: expect.anything() },
    });
  });

  it('of the pool is one paragraph, and has snapshot and holders for programs', async () => {
    const held = await poolOf(http).acquire();
    const error = (await errorOf('data-source')) as PoolAcquireTimeoutError;
    held.release();
    for (const text of [printed(error), inspect(error), printed(error, true)]) {
      expect(text.trim().split('\n').length).toBeLessThan(10);
      expect(text).toContain('POOL_ACQUIRE_TIMEOUT');
      expect(text).not.toMatch(/boundsMs|heldMs|snapshot|holders: \[/);
    }
    expect(error.snapshot).toMatchObject({ leased: 1, max: 1 });
    expect(error.holders).toHaveLength(1);
  });
});
