import { afterAll, afterEach, beforeAll, describe, expect, it } from '@jest/globals';
import { Test } from '@nestjs/testing';
import type { TestingModule } from '@nestjs/testing';
import { DatabaseModule } from 'nestjs-database';
import type { DatabaseModuleOptions } from 'nestjs-database';
import { DataSource } from 'typeorm';
import { CapturingLogger } from '../../support/capturing-logger.js';
import { createTestDatabase } from '../../support/database.js';
import type { TestDatabase } from '../../support/database.js';

describe('logging', () => {
  let database: TestDatabase;
  let module: TestingModule;
  let logger: CapturingLogger;
  let dataSource: DataSource;

  const start = async (options: DatabaseModuleOptions = {}) => {
    logger = new CapturingLogger();
    module = await Test.createTestingModule({
      imports: [DatabaseModule.forRoot({ url: database.url, ...options })],
    })
      .setLogger(logger)
      .compile();
    dataSource = module.get(DataSource);
  };

  beforeAll(async () => {
    database = await createTestDatabase();
  });
  afterEach(async () => {
    await module?.close();
  });
  afterAll(async () => {
    await database.drop();
  });

  it('logs the start in one line, without user and password', async () => {
    await start({ multiplex: false });
    const lines = logger.of('DatabaseModule');
    expect(lines).toHaveLength(1);
    const { port, password } = new URL(database.url);
    expect(lines[0]).toMatch(
      new RegExp(
        `^Connected to database "${database.name}" at 127\\.0\\.0\\.1:${port}, PostgreSQL 18\\.\\d+, no TLS, pool 2 \\+ 5, profile development$`,
      ),
    );
    expect(logger.text).not.toContain(password);
  });

  it('logs no statements by default', async () => {
    await start();
    await dataSource.query('SELECT 1');
    expect(logger.of('DatabaseQuery')).toEqual([]);
  });

  it('logs each statement and its duration with echo, without its parameters', async () => {
    await start({ echo: true });
    await dataSource.query('SELECT $1::text AS answer', ['a personal thing']);
    expect(logger.of('DatabaseQuery')).toEqual([
      expect.stringMatching(/^\d+\.\d ms: SELECT \$1::text AS answer$/),
    ]);
    expect(logger.text).not.toContain('a personal thing');
  });

  it('logs parameters with echo.parameters', async () => {
    await start({ echo: { parameters: true } });
    await dataSource.query('SELECT $1::text, $2::bigint', ['visible', 5n]);
    expect(logger.of('DatabaseQuery')[0]).toContain('SELECT $1::text, $2::bigint -- ["visible","5"]');
  });

  it('logs parameters that cannot be converted to JSON', async () => {
    await start({ echo: { parameters: true } });
    const circle: Record<string, unknown> = { toPostgres: () => 'a circle' };
    circle['self'] = circle;
    const thrower = {
      toPostgres: () => 'a thrower',
      toJSON: () => {
        throw new Error('no JSON of this');
      },
    };
    const rows = await dataSource.query('SELECT $1::text AS one, $2::text AS two, $3::text AS three', [
      circle,
      thrower,
      undefined,
    ]);
    expect(rows).toEqual([{ one: 'a circle', two: 'a thrower', three: null }]);
    expect(logger.of('DatabaseQuery')).toEqual([
      expect.stringMatching(/-- \[<ref \*1> \{.*Circular.*,null\]$/),
    ]);
  });

  it('logs a statement on one line, with its passwords masked and its control characters escaped', async () => {
    await start({ echo: true });
    await dataSource.query(`SELECT 1,\n  '\u001b[2J'`);
    await expect(dataSource.query('ALTER ROLE missing PASSWORD $$hunter2$$')).rejects.toThrow();
    expect(logger.of('DatabaseQuery')).toEqual([
      expect.stringMatching(/ms: SELECT 1, '\\u001b\[2J'$/),
      expect.stringMatching(/ms: ALTER ROLE missing PASSWORD '\*\*\*'$/),
    ]);
  });

  it('truncates long statements and appends the number of omitted characters', async () => {
    await start({ echo: { maxLength: 20 } });
    await dataSource.query(`SELECT '${'x'.repeat(100)}'`);
    expect(logger.of('DatabaseQuery')[0]).toMatch(/ms: SELECT 'x{12}… \(89 more characters\)$/);
  });

  it('logs a failed statement as an error, with its duration', async () => {
    await start({ echo: true });
    await expect(dataSource.query('SELECT 1 / 0')).rejects.toThrow('division by zero');
    expect(logger.lines.filter(({ context }) => context === 'DatabaseQuery')).toEqual([
      {
        level: 'error',
        context: 'DatabaseQuery',
        message: expect.stringMatching(/^failed after \d+\.\d ms: SELECT 1/),
      },
    ]);
  });

  it("writes TypeORM's own logging to Nest's logger", async () => {
    await start({ logging: ['query', 'error'], maxQueryExecutionTime: 1 });
    await dataSource.query('SELECT pg_sleep(0.01), $1::text', ['hidden']);
    await expect(dataSource.query('SELEC')).rejects.toThrow();
    expect(logger.of('DatabaseQuery')).toEqual(
      expect.arrayContaining([
        'query: SELECT pg_sleep(0.01), $1::text',
        expect.stringMatching(/^query is slow: SELECT pg_sleep/),
        'query failed: SELEC',
      ]),
    );
    expect(logger.text).not.toContain('hidden');
  });

  it('adds the name of a named data source to its contexts', async () => {
    logger = new CapturingLogger();
    module = await Test.createTestingModule({
      imports: [DatabaseModule.forRoot({ name: 'reporting', url: database.url })],
    })
      .setLogger(logger)
      .compile();
    expect(logger.of('DatabaseModule:reporting')[0]).toMatch(/^Connected to database/);
  });
});
