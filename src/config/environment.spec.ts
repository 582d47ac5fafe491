import 'reflect-metadata';
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { inspect } from 'node:util';
import { afterAll, afterEach, beforeAll, describe, expect, it } from '@jest/globals';
import { ConfigModule, type ConfigType } from '@nestjs/config';
import { Test } from '@nestjs/testing';
import { DatabaseConfigError } from '../database.errors.js';
import type { DatabaseModuleOptions } from '../database.options.js';
import {
  applicationName,
  databaseConfig,
  environmentProfile,
  readEnvironment,
  type Environment,
} from './environment.js';
import { originsIn } from './origins.js';
import { resolveDatabaseOptions } from './resolve.js';
import { VARIABLES } from './variables.js';

const problemsOf = (env: Environment, options?: { requireUrl: boolean }): string[] => {
  try {
    readEnvironment(env, options);
  } catch (error) {
    if (error instanceof DatabaseConfigError)
      return error.problems.map(({ setting, message }) => `${setting}: ${message}`);
    throw error;
  }
  return [];
};
const URL = 'postgres://me:pw@localhost/app';

describe('readEnvironment', () => {
  it('holds what was set and nothing else', () => {
    expect(Object.keys(readEnvironment({}))).toEqual([]);
    expect({ ...readEnvironment({ DB_POOL_SIZE: '7', DB_SSL_MODE: 'require' }) }).toMatchObject({
      pool: { size: 7 },
      ssl: { mode: 'require' },
    });
  });

  it('reads every variable of the table into its option', () => {
    const settings = readEnvironment({
      DB_URL: URL,
      DB_PROFILE: 'Serverless',
      DB_POOL_SIZE: '7',
      DB_MAX_OVERFLOW: '0',
      DB_POOL_TIMEOUT: '12',
      DB_POOL_RECYCLE: '10m',
      DB_POOL_PRE_PING: 'off',
      DB_LEAK_THRESHOLD: '2s',
      DB_CONNECT_TIMEOUT: '1500ms',
      DB_STATEMENT_TIMEOUT: '1h',
      DB_IDLE_IN_TRANSACTION_TIMEOUT: '0',
      DB_LOCK_TIMEOUT: 'off',
      DB_SHUTDOWN_TIMEOUT: '0',
      DB_STARTUP: 'lazy',
      DB_CONNECT_RETRIES: '3',
      DB_APPLICATION_NAME: 'my app',
      DB_ECHO: 'YES',
    });
    expect(settings).toMatchObject({
      profile: 'serverless',
      pool: {
        size: 7,
        maxOverflow: 0,
        acquireTimeoutMs: 12_000,
        maxLifetimeMs: 600_000,
        prePing: false,
        leakThresholdMs: 2_000,
      },
      timeouts: {
        connectMs: 1_500,
        statementMs: 3_600_000,
        idleInTransactionMs: 0,
        lockMs: 0,
        shutdownMs: 0,
      },
      startup: 'lazy',
      connectRetry: { retries: 3 },
      applicationName: 'my app',
      echo: true,
    });
    expect((settings.url as { reveal(): string }).reveal()).toBe(URL);
  });

  it('reads DATABASE_URL where DB_URL is not set, or empty', () => {
    for (const env of [{ DATABASE_URL: URL }, { DATABASE_URL: URL, DB_URL: ' ' }])
      expect(originsIn(readEnvironment(env))?.values['url']?.variable).toBe('DATABASE_URL');
    expect(originsIn(readEnvironment({ DATABASE_URL: 'x', DB_URL: URL }))?.values['url']?.variable).toBe(
      'DB_URL',
    );
  });

  it('takes an empty variable for one that is not set, as compose files leave them', () => {
    expect(Object.keys(readEnvironment(Object.fromEntries(VARIABLES.map(({ name }) => [name, '']))))).toEqual(
      [],
    );
  });

  it.each(['true', 'TRUE', '1', 'yes', 'Yes', 'on'])('takes %p for true', (text) => {
    expect(readEnvironment({ DB_ECHO: text }).echo).toBe(true);
  });

  it.each(['false', '0', 'no', 'NO', 'off'])('takes %p for false', (text) => {
    expect(readEnvironment({ DB_ECHO: text }).echo).toBe(false);
  });

  it.each([
    ['30', 30_000],
    ['30s', 30_000],
    ['30 S', 30_000],
    ['500ms', 500],
    ['5m', 300_000],
    ['1.5s', 1_500],
    ['1h', 3_600_000],
    ['86400', 86_400_000],
  ])('takes the duration %p for %p ms', (text, ms) => {
    expect(readEnvironment({ DB_STATEMENT_TIMEOUT: text }).timeouts?.statementMs).toBe(ms);
  });

  it.each([
    ['DB_POOL_SIZE', '0', '"0" is not a whole number from 1 to 100'],
    ['DB_POOL_SIZE', '-3', '"-3" is not a whole number from 1 to 100'],
    ['DB_POOL_SIZE', 'abc', '"abc" is not a whole number from 1 to 100'],
    ['DB_POOL_SIZE', '2.5', '"2.5" is not a whole number'],
    ['DB_POOL_SIZE', '101', '"101" is not'],
    ['DB_MAX_OVERFLOW', '-1', '"-1" is not a whole number from 0 to 100'],
    ['DB_POOL_TIMEOUT', '0', '"0" is not a duration from 1 s to 300 s'],
    ['DB_POOL_TIMEOUT', '30000', 'a number alone is seconds, 30000 milliseconds are 30000ms'],
    ['DB_POOL_TIMEOUT', '30 parsecs', '"30 parsecs" is not a duration'],
    ['DB_POOL_RECYCLE', '299', '"299" is not a duration of at least 300 s'],
    ['DB_LEAK_THRESHOLD', '1', '"1" is not a duration of at least 2 s, 0 for off'],
    ['DB_STATEMENT_TIMEOUT', '86401', '"86401" is not a duration from 0 s to 86400 s'],
    ['DB_STATEMENT_TIMEOUT', '0.0001s', 'is not a duration'],
    ['DB_CONNECT_TIMEOUT', '121s', '"121s" is not a duration from 1 s to 120 s'],
    ['DB_SHUTDOWN_TIMEOUT', '301', '"301" is not a duration from 0 s to 300 s'],
    ['DB_PROFILE', 'staging', '"staging" is not one of production, development, serverless'],
    ['DB_STARTUP', 'never', '"never" is not one of verify, lazy, off'],
    ['DB_SSL_MODE', 'prefer', '"prefer" is not one of disable, require, verify-ca, verify-full'],
    ['DB_SSL_CA', '/nowhere/ca.pem', 'the file /nowhere/ca.pem does not exist'],
    ['DB_APPLICATION_NAME', 'x'.repeat(64), 'a text of 64 characters is not a name of 1 to 63 bytes'],
    ['DB_ECHO', 'maybe', '"maybe" is not true or false'],
    ['DB_CONNECT_RETRIES', '101', '"101" is not a whole number from 0 to 100'],
    ['DB_URL', 'mysql://me:pw@host/app', 'it starts with mysql://'],
    ['DATABASE_URL', 'not a url', 'white space'],
  ])('refuses %s=%s', (name, text, message) => {
    const problems = problemsOf({ [name]: text });
    expect(problems).toHaveLength(1);
    expect(problems[0]).toContain(`${name}: `);
    expect(problems[0]).toContain(message);
  });

  it('tells everything that is wrong at once', () => {
    const wrong = {
      DB_URL: 'mysql://me:hunter2@host/app',
      DB_POOL_SIZE: '0',
      DB_ECHO: 'maybe',
      DB_SSL_KEY: 'hunter2',
    };
    expect(problemsOf(wrong).map((problem) => problem.split(':')[0])).toEqual(
      Object.keys(wrong).sort(
        (a, b) =>
          VARIABLES.findIndex(({ name }) => name === a) - VARIABLES.findIndex(({ name }) => name === b),
      ),
    );
    expect(problemsOf(wrong).join()).not.toContain('hunter2');
  });

  it('does not repeat a long text, which may be a secret in the wrong variable', () => {
    for (const { name } of VARIABLES)
      expect(problemsOf({ [name]: 'postgres://me:hunter2/secret@host:99999/app' }).join()).not.toContain(
        'hunter2',
      );
  });

  it('needs no URL, unless it is the only source of settings', () => {
    expect(problemsOf({})).toEqual([]);
    expect(problemsOf({ DB_HOST: 'x', DB_ECHO: '?' }, { requireUrl: true })).toEqual([
      expect.stringMatching(/^DB_ECHO/),
      expect.stringMatching(
        /^DB_URL: is not set.*DATABASE_URL.*ConfigModule\.forRoot\(\).*--env-file.*Not read: DB_HOST/,
      ),
    ]);
  });

  it('warns of names that are nearly ours, and leaves the others to the app', () => {
    const warnings = (env: Environment) => originsIn(readEnvironment(env))?.warnings;
    expect(warnings({ DB_POOLSIZE: '5', DB_POOL_TIMOUT: '3', db_echo: '1' })).toEqual([
      'DB_POOLSIZE: is not read; did you mean DB_POOL_SIZE?',
      'DB_POOL_TIMOUT: is not read; did you mean DB_POOL_TIMEOUT?',
      'db_echo: is not read; did you mean DB_ECHO?',
    ]);
    const own = [
      'DB_HOST',
      'DB_PORT',
      'DB_USER',
      'DB_PASSWORD',
      'DB_NAME',
      'DB_TYPE',
      'DB_SSL',
      'DB_SCHEMA',
      'DB_DRIVER',
    ];
    expect(warnings(Object.fromEntries(own.map((name) => [name, 'x'])))).toEqual([]);
  });

  it('warns of seconds that were probably meant as milliseconds', () => {
    expect(originsIn(readEnvironment({ DB_STATEMENT_TIMEOUT: '30000' }))?.warnings).toEqual([
      'DB_STATEMENT_TIMEOUT: 30000 is read as seconds; if milliseconds are meant, write 30000ms',
    ]);
    expect(
      originsIn(readEnvironment({ DB_STATEMENT_TIMEOUT: '3600', DB_POOL_RECYCLE: '1800' }))?.warnings,
    ).toEqual([]);
  });

  it('is frozen all the way down', () => {
    const settings = readEnvironment({ DB_URL: URL, DB_POOL_SIZE: '7' });
    for (const part of [settings, settings.pool, settings.url, originsIn(settings)?.values])
      expect(Object.isFrozen(part)).toBe(true);
  });

  it('shows no secret when it is printed', () => {
    const settings = readEnvironment({ DB_URL: 'postgres://me:hunter2@host/app' });
    expect(inspect(settings, { depth: 9, showHidden: true }) + JSON.stringify(settings)).not.toContain(
      'hunter2',
    );
  });
});

describe('databaseConfig', () => {
  const before = { ...process.env };
  afterEach(() => {
    process.env = { ...before };
  });

  it('is injected by Nest, spreads into the options with its types, and keeps its origins', async () => {
    process.env['DB_URL'] = URL;
    process.env['DB_POOL_SIZE'] = '7';
    const module = await Test.createTestingModule({
      imports: [ConfigModule.forFeature(databaseConfig)],
    }).compile();
    const config = module.get<ConfigType<typeof databaseConfig>>(databaseConfig.KEY);
    const options: DatabaseModuleOptions = { ...config, autoLoadEntities: true };
    const { origins, pool } = resolveDatabaseOptions(options, { env: {} });
    expect(pool.size).toBe(7);
    expect(origins).toMatchObject({
      url: 'environment DB_URL',
      'pool.size': 'environment DB_POOL_SIZE',
      autoLoadEntities: 'options',
    });
    await module.close();
  });

  it('is a provider of options by itself', async () => {
    process.env['DATABASE_URL'] = URL;
    const { useFactory } = databaseConfig.asProvider();
    const options: DatabaseModuleOptions = useFactory(databaseConfig());
    expect(resolveDatabaseOptions(options, { env: {} }).origins['url']).toBe('environment DATABASE_URL');
  });
});

describe('.env.example', () => {
  it('is what the table of variables says', () => {
    const entries = VARIABLES.map(({ name, description, defaultText, parser, example }) =>
      [
        `# ${description}`,
        `# Allowed: ${parser.allowed}. Default: ${defaultText}.`,
        `${name === 'DB_URL' ? '' : '#'}${name}=${example}`,
      ].join('\n'),
    );
    expect(readFileSync('.env.example', 'utf8')).toBe(
      [
        '# Every variable that nestjs-database reads. Copy this file to .env; empty is not set.',
        ...entries,
      ].join('\n\n') + '\n',
    );
  });

  it('shows values that are allowed', () => {
    const files = ['DB_SSL_CA', 'DB_SSL_CERT', 'DB_SSL_KEY'];
    const shown = VARIABLES.filter(({ name }) => !files.includes(name));
    expect(problemsOf(Object.fromEntries(shown.map(({ name, example }) => [name, example])))).toEqual([]);
  });
});

describe('the profile where none is set', () => {
  it.each([
    ['development', 'development'],
    ['test', 'development'],
    ['production', 'production'],
    ['staging', 'production'],
    [undefined, 'production'],
  ])('for NODE_ENV %p is %s', (stage, profile) => {
    expect(environmentProfile({ NODE_ENV: stage })).toBe(profile);
  });
});

describe('the application name where none is set', () => {
  let folder: string;
  beforeAll(() => {
    folder = mkdtempSync(join(tmpdir(), 'app-'));
    const write = (path: string, content: string) => {
      mkdirSync(join(folder, path), { recursive: true });
      writeFileSync(join(folder, path, 'package.json'), content);
    };
    write('app', '{"name":"users-api"}');
    write('app/dist', '{"type":"module"}');
    write('scoped', '{"name":"@acme/users-api"}');
    write('long', JSON.stringify({ name: 'ä'.repeat(40) }));
    write('broken', '{');
    mkdirSync(join(folder, 'app/src/deep'), { recursive: true });
  });
  afterAll(() => rmSync(folder, { recursive: true, force: true }));

  it.each([
    ['app', 'users-api'],
    ['app/src/deep', 'users-api'],
    ['app/dist', 'users-api'],
    ['scoped', 'users-api'],
    ['long', 'ä'.repeat(31)],
    ['broken', 'nestjs-database'],
  ])('in %s is %s', (path, name) => {
    expect(applicationName({}, join(folder, path))).toBe(name);
  });

  it("is npm's where there is no package.json", () => {
    expect(applicationName({ npm_package_name: '@acme/jobs' }, folder)).toBe('jobs');
  });
});
