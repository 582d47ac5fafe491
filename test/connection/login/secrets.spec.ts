import { inspect } from 'node:util';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { Test } from '@nestjs/testing';
import type { ManagedDataSource, DatabaseModuleOptions } from 'nestjs-database';
import { databaseConfig, DatabaseModule, DatabaseMonitor } from 'nestjs-database';
import { DataSource } from 'typeorm';
import { CapturingLogger } from '../../support/capturing-logger.js';
import { startPostgres } from '../../support/postgres-server.js';
import type { PostgresServer } from '../../support/postgres-server.js';

/** What stands around a secret that shows. */
function around(text: string, secret: string): string | undefined {
  const at = text.indexOf(secret);
  return at < 0 ? undefined : `${text.slice(Math.max(0, at - 300), at)}<HERE>`;
}

/** As loggers make it of objects with circles. */
function jsonOf(thing: object): string {
  const seen = new Set<unknown>();
  return JSON.stringify(thing, (_key, value: unknown) => {
    if (typeof value === 'bigint') return String(value);
    if (typeof value !== 'object' || value === null) return value;
    if (seen.has(value)) return undefined;
    seen.add(value);
    return value;
  });
}

/**
 * Passwords as people have them: each with what a URL, a shell, a regular expression or a JSON text takes for its own. By
 * a name of their own, since Jest's state, with the names of tests in it, is within reach of `inspect`.
 */
const PASSWORDS: Record<string, string> = {
  'of a URL': 'p@ss:word/1',
  percent: '100%25 sure',
  quotes: `it's "quoted"`,
  'backtick and backslash': 'back`tick\\slash',
  'of a query': 'a?b#c&d=e',
  'beyond ASCII': 'ünïcödé-пароль',
};

let server: PostgresServer;
beforeAll(async () => {
  server = await startPostgres();
});
afterAll(() => server?.dispose());

describe.each(Object.keys(PASSWORDS))('a password with signs: %s', (signs) => {
  const password = PASSWORDS[signs]!;
  let logger: CapturingLogger;

  beforeAll(async () => {
    await server.sql(`ALTER ROLE app PASSWORD '${password.replaceAll("'", "''")}'`);
  });

  const url = (secret: string, change: (url: URL) => void = () => {}) => {
    const changed = new URL(server.url);
    changed.password = encodeURIComponent(secret);
    change(changed);
    return changed.href;
  };
  const compile = (options: DatabaseModuleOptions) => {
    logger = new CapturingLogger();
    return Test.createTestingModule({ imports: [DatabaseModule.forRoot(options)] })
      .setLogger(logger)
      .compile();
  };
  /** All the shapes in which it could show. */
  const expectHidden = (text: string, secret = password) => {
    for (const shape of [
      secret,
      encodeURIComponent(secret),
      JSON.stringify(secret).slice(1, -1),
      inspect(secret).slice(1, -1),
    ])
      // Not the whole text in the report: it is long, and holds the secret.
      expect(around(text, shape)).toBeUndefined();
  };

  it('is accepted and appears in no printed object', async () => {
    const environment = { ...process.env };
    process.env.DB_URL = url(password);
    const config = databaseConfig();
    process.env = environment;
    const module = await compile({ ...config, echo: true });
    const dataSource = module.get<DataSource, ManagedDataSource>(DataSource);
    await dataSource.query('SELECT 1');
    const runner = dataSource.createQueryRunner();
    await runner.connect();
    const { options } = module.get(DatabaseMonitor);
    for (const thing of [
      config,
      options,
      dataSource.settings,
      dataSource.pool?.options,
      dataSource.pool?.leases(),
    ]) {
      expectHidden(inspect(thing, { depth: 12 }));
      expectHidden(JSON.stringify(thing));
    }
    expectHidden(inspect(dataSource, { depth: 12 }));
    expectHidden(inspect(dataSource.options, { depth: 12 }));
    expectHidden(jsonOf(dataSource));
    expectHidden(jsonOf(dataSource.options));
    expectHidden(inspect(runner, { depth: 12 }));
    expect(options).not.toHaveProperty('password');
    expectHidden(logger.text);
    await runner.release();
    await module.close();
  });

  it('appears in no error of a failed start', async () => {
    const wrong = `${password}-wrong`;
    const failures: DatabaseModuleOptions[] = [
      { url: url(wrong) },
      { url: url(password, (changed) => (changed.pathname = '/nowhere')) },
      { url: url(password, (changed) => (changed.port = '1')), connectRetry: 0 },
      { url: url(password), ssl: true },
      { url: url(password).replace('postgres://', 'mysql://') },
      { url: url(password).replace('127.0.0.1:', '127.0.0.1:9') },
      { url: url(password), pool: { size: 0 } },
      { url: `${url(password)}?sslmode=maybe` },
    ];
    for (const options of failures) {
      const error: unknown = await compile(options).then(
        () => undefined,
        (reason: unknown) => reason,
      );
      expect(error).toBeInstanceOf(Error);
      for (const secret of [password, wrong]) {
        expectHidden(inspect(error, { depth: 12 }), secret);
        expectHidden(`${String(error)} ${(error as Error).stack} ${JSON.stringify(error)}`, secret);
        expectHidden(logger.text, secret);
      }
    }
  });
});
