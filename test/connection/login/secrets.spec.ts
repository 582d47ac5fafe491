import { inspect } from 'node:util';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { Test } from '@nestjs/testing';
import type { ManagedDataSource, DatabaseModuleOptions } from 'nestjs-database';
import { databaseConfig, DatabaseModule, DatabaseMonitor } from 'nestjs-database';
import { DataSource } from 'typeorm';
import { CapturingLogger } from '../../support/capturing-logger.js';
import { startPostgres } from '../../support/postgres-server.js';
import type { PostgresServer } from '../../support/postgres-server.js';

/** The text before a secret, for the report of a failed test; undefined when the secret does not appear. */
function contextOf(text: string, secret: string): string | undefined {
  const at = text.indexOf(secret);
  return at < 0 ? undefined : `${text.slice(Math.max(0, at - 300), at)}<HERE>`;
}

/** JSON of an object with cycles, as loggers print it. */
function jsonOf(object: object): string {
  const seen = new Set<unknown>();
  return JSON.stringify(object, (_key, value: unknown) => {
    if (typeof value === 'bigint') return String(value);
    if (typeof value !== 'object' || value === null) return value;
    if (seen.has(value)) return undefined;
    seen.add(value);
    return value;
  });
}

/**
 * Passwords with characters that are special in a URL, a shell, a regular expression or JSON. Each has a label: `inspect`
 * can reach Jest's state, which holds the names of the tests, so that a password must not be part of one.
 */
const PASSWORDS: Record<string, string> = {
  'special in a URL': 'p@ss:word/1',
  'a percent sign': '100%25 sure',
  'quotation marks': `it's "quoted"`,
  'a backtick and a backslash': 'back`tick\\slash',
  'special in a query string': 'a?b#c&d=e',
  'not in ASCII': 'ünïcödé-пароль',
};

let server: PostgresServer;
beforeAll(async () => {
  server = await startPostgres();
});
afterAll(() => server?.dispose());

describe.each(Object.keys(PASSWORDS))('A password with special characters: %s', (label) => {
  const password = PASSWORDS[label]!;
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
  /** Expects that the text contains the secret in no form: neither plain nor URL-encoded, neither in JSON nor in `inspect`. */
  const expectHidden = (text: string, secret = password) => {
    for (const form of [
      secret,
      encodeURIComponent(secret),
      JSON.stringify(secret).slice(1, -1),
      inspect(secret).slice(1, -1),
    ])
      // The report of a failed test must not contain the whole text: it is long, and holds the secret.
      expect(contextOf(text, form)).toBeUndefined();
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
    for (const object of [
      config,
      options,
      dataSource.settings,
      dataSource.pool?.options,
      dataSource.pool?.leases(),
    ]) {
      expectHidden(inspect(object, { depth: 12 }));
      expectHidden(JSON.stringify(object));
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
