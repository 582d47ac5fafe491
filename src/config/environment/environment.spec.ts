import 'reflect-metadata';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { inspect } from 'node:util';
import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import { ConfigModule, registerAs } from '@nestjs/config';
import type { ConfigType } from '@nestjs/config';
import { Test } from '@nestjs/testing';
import { DatabaseConfigError } from '../../errors/config.errors.js';
import type { DatabaseModuleOptions, PasswordSource } from '../../database.options.js';
import { databaseConfig, readEnvironment } from './environment.js';
import type { Environment } from './variable-names.js';
import { originsIn } from '../options/origins.js';
import { resolveDatabaseOptions } from '../resolve.js';
import { FOREIGN_NAMES, VARIABLES } from '../settings/variables.js';

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
  it('returns only the settings that a variable sets', () => {
    expect(Object.keys(readEnvironment({}))).toEqual([]);
    expect({ ...readEnvironment({ DB_POOL_SIZE: '7', DB_SSL_MODE: 'require' }) }).toMatchObject({
      pool: { size: 7 },
      ssl: { mode: 'require' },
    });
  });

  it('reads every variable into its option', () => {
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

  it('reads DATABASE_URL when DB_URL is not set, or empty', () => {
    for (const env of [{ DATABASE_URL: URL }, { DATABASE_URL: URL, DB_URL: ' ' }])
      expect(originsIn(readEnvironment(env))?.values['url']?.variable).toBe('DATABASE_URL');
    expect(originsIn(readEnvironment({ DATABASE_URL: 'x', DB_URL: URL }))?.values['url']?.variable).toBe(
      'DB_URL',
    );
  });

  it('treats an empty variable as not set, since Docker Compose passes such variables', () => {
    expect(Object.keys(readEnvironment(Object.fromEntries(VARIABLES.map(({ name }) => [name, '']))))).toEqual(
      [],
    );
  });

  it.each(['true', 'TRUE', '1', 'yes', 'Yes', 'on'])('reads %p as true', (text) => {
    expect(readEnvironment({ DB_ECHO: text }).echo).toBe(true);
  });

  it.each(['false', '0', 'no', 'NO', 'off'])('reads %p as false', (text) => {
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
  ])('reads the duration %p as %p ms', (text, ms) => {
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
    ['DB_POOL_TIMEOUT', '30000', 'a number without a unit is seconds, 30000 milliseconds are 30000ms'],
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
    ['DB_APPLICATION_NAME', 'x'.repeat(64), 'a string of 64 characters is not a name of 1 to 63 bytes'],
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

  it('reports all problems in one error', () => {
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

  it('does not repeat a long value, since it may be a secret in the wrong variable', () => {
    for (const { name } of VARIABLES)
      expect(problemsOf({ [name]: 'postgres://me:hunter2/secret@host:99999/app' }).join()).not.toContain(
        'hunter2',
      );
  });

  it('demands a URL only when the environment is the only source of settings', () => {
    expect(problemsOf({})).toEqual([]);
    expect(problemsOf({ DB_USER: 'x', DB_ECHO: '?' }, { requireUrl: true })).toEqual([
      expect.stringMatching(/^DB_ECHO/),
      expect.stringMatching(
        /^DB_URL: is not set.*DATABASE_URL.*DB_HOST.*ConfigModule\.forRoot\(\).*--env-file.*Set, but not enough alone: DB_USER$/,
      ),
    ]);
    expect(problemsOf({ DB_HOST: 'x' }, { requireUrl: true })).toEqual([]);
    expect(problemsOf({ DB_STARTUP: 'OFF' }, { requireUrl: true })).toEqual([]);
  });

  it('warns of misspelled variables, and ignores other variables of the app', () => {
    const warnings = (env: Environment) => originsIn(readEnvironment(env))?.warnings;
    expect(warnings({ DB_POOLSIZE: '5', DB_POOL_TIMOUT: '3', db_echo: '1' })).toEqual([
      'DB_POOLSIZE: is not read; did you mean DB_POOL_SIZE?',
      'DB_POOL_TIMOUT: is not read; did you mean DB_POOL_TIMEOUT?',
      'db_echo: is not read; did you mean DB_ECHO?',
    ]);
    const own = ['DB_TYPE', 'DB_SCHEMA', 'DB_DRIVER'];
    expect(warnings(Object.fromEntries(own.map((name) => [name, 'x'])))).toEqual([]);
  });

  it('warns of the names that other libraries have for a variable', () => {
    const warnings = (env: Environment) => originsIn(readEnvironment(env))?.warnings;
    expect(warnings({ DB_SSL: 'true', DB_POOL_MAX: '3', DB_USER: 'x', db_pass: 'x' })).toEqual([
      'DB_SSL: is not read; did you mean DB_SSL_MODE?',
      'DB_POOL_MAX: is not read; did you mean DB_POOL_SIZE?',
      'DB_USER: is not read; did you mean DB_USERNAME?',
      'db_pass: is not read; did you mean DB_PASSWORD?',
    ]);
    const known = VARIABLES.map(({ name }) => name);
    expect([...FOREIGN_NAMES.values()].filter((name) => !known.includes(name))).toEqual([]);
    expect([...FOREIGN_NAMES.keys()].filter((name) => known.includes(name))).toEqual([]);
  });

  it.each(['__proto__', 'constructor', 'toString'])('refuses %s as the value of a variable', (text) => {
    for (const { name } of VARIABLES.filter(({ path }) => /echo|prePing|profile|startup|Ms$/.test(path)))
      expect(problemsOf({ [name]: text })).toEqual([expect.stringMatching(`^${name}: `)]);
    expect(Object.isFrozen(Object.prototype)).toBe(false);
  });

  describe('reads the server from single variables', () => {
    const PARTS = { DB_HOST: 'db', DB_PORT: '5433', DB_USERNAME: 'me', DB_NAME: 'app' };
    const resolved = (env: Environment) => resolveDatabaseOptions(readEnvironment(env), { env });

    it('without a URL', () => {
      const { server, password, origins } = resolved({ ...PARTS, DB_PASSWORD: ' p@ss/word ' });
      expect(server).toEqual({ host: 'db', port: 5433, username: 'me', database: 'app' });
      // White space may belong to a password.
      expect((password as { reveal(): string }).reveal()).toBe(' p@ss/word ');
      expect(origins).toMatchObject({ host: 'environment DB_HOST', password: 'environment DB_PASSWORD' });
    });

    it('and hides DB_PASSWORD from inspect and JSON', () => {
      const settings = readEnvironment({ ...PARTS, DB_PASSWORD: 'hunter2' });
      expect(inspect(settings, { depth: 9, showHidden: true }) + JSON.stringify(settings)).not.toContain(
        'hunter2',
      );
    });

    it('and names each invalid one', () => {
      expect(problemsOf({ DB_HOST: 'postgres://me:hunter2@db', DB_PORT: '0' })).toEqual([
        expect.stringMatching(
          /^DB_HOST: a string of 24 characters is not a host name or the directory of a socket/,
        ),
        'DB_PORT: "0" is not a whole number from 1 to 65535',
      ]);
    });

    it('but ignores them when a URL is set, with a warning for each that differs', () => {
      const env = { ...PARTS, DB_PORT: 'x', DB_URL: 'postgres://me:pw@db/other', DB_PASSWORD: 'pw' };
      const { server, warnings } = resolved(env);
      expect(server).toEqual({ host: 'db', port: 5432, username: 'me', database: 'other' });
      expect(warnings.filter((warning) => warning.startsWith('DB_'))).toEqual([
        'DB_PORT: is not read, since DB_URL is set',
        'DB_NAME: is not read, since DB_URL is set',
      ]);
    });

    it('and adds the password to a URL without one', () => {
      const { password, warnings } = resolved({ DB_URL: 'postgres://me@db/app', DB_PASSWORD: 'secret' });
      expect((password as { reveal(): string }).reveal()).toBe('secret');
      expect(warnings.join()).not.toContain('DB_PASSWORD');
    });
  });

  describe('reads secrets from files:', () => {
    let folder: string;
    const file = (name: string, text: string) => {
      writeFileSync(join(folder, name), text);
      return join(folder, name);
    };
    const resolved = (env: Environment) => resolveDatabaseOptions(readEnvironment(env), { env });
    const ask = (password: unknown) => (password as PasswordSource).ask();
    beforeEach(() => {
      folder = mkdtempSync(join(tmpdir(), 'secrets-'));
    });
    afterEach(() => rmSync(folder, { recursive: true, force: true }));

    it('a password, read at each connect, without the line end', async () => {
      const path = file('password', 'first\n');
      const { password } = resolved({ DB_URL: 'postgres://me@db/app', DB_PASSWORD_FILE: path });
      expect(await ask(password)).toBe('first');
      file('password', 'second');
      expect(await ask(password)).toBe('second');
      rmSync(path);
      await expect(ask(password)).rejects.toMatchObject({
        code: 'PASSWORD_UNAVAILABLE',
        message: `DB_PASSWORD_FILE: the file ${path} does not exist.`,
      });
    });

    it('a URL, whose password is read at each connect', async () => {
      const path = file('url', 'postgres://me:first@db/app\n');
      const { password, server, origins } = resolved({ DB_URL_FILE: path });
      expect(server).toEqual({ host: 'db', port: 5432, username: 'me', database: 'app' });
      expect(origins).toMatchObject({ url: 'environment DB_URL_FILE', password: 'environment DB_URL_FILE' });
      expect(await ask(password)).toBe('first');
      file('url', 'postgres://me:second@db/app');
      expect(await ask(password)).toBe('second');
      file('url', 'postgres://other:second@elsewhere/app');
      await expect(ask(password)).rejects.toThrow('the URL has another host, username than at start');
      file('url', 'postgres://me:hunter2@db:99999/app');
      await expect(ask(password)).rejects.toThrow('DB_URL_FILE: the port is not a whole number');
    });

    it('a password in a URL, which is never sent to the server of another URL', () => {
      const config = readEnvironment({ DB_URL_FILE: file('url', 'postgres://me:first@db/app') });
      const url = 'postgres://me@elsewhere/app';
      expect(resolveDatabaseOptions({ ...config, url }, { env: {} }).password).toBeUndefined();
    });

    it('DB_URL_FILE before DATABASE_URL', () => {
      const env = {
        DATABASE_URL: 'postgres://me:x@old/app',
        DB_URL_FILE: file('url', 'postgres://me:y@new/app'),
      };
      expect(resolved(env).server.host).toBe('new');
    });

    it.each([
      ['DB_URL_FILE', 'mysql://me:hunter2@db/app', /^DB_URL_FILE: it starts with mysql/],
      ['DB_URL_FILE', '\n', /^DB_URL_FILE: the file .* is empty/],
      ['DB_PASSWORD_FILE', '', /^DB_PASSWORD_FILE: the file .* is empty/],
    ])('and refuses at start a file of %s that holds %j', (name, text, problem) => {
      const problems = problemsOf({ [name]: file('secret', text) });
      expect(problems).toEqual([expect.stringMatching(problem)]);
      expect(problems.join()).not.toContain('hunter2');
    });

    it('and refuses a secret that is set both in a variable and in a file', () => {
      const path = file('secret', 'postgres://me:x@db/app');
      expect(problemsOf({ DB_URL: 'postgres://me:x@db/app', DB_URL_FILE: path })).toEqual([
        'DB_URL_FILE: is set together with DB_URL; set one of them',
      ]);
      expect(problemsOf({ DB_HOST: 'db', DB_PASSWORD: 'x', DB_PASSWORD_FILE: path })).toEqual([
        'DB_PASSWORD_FILE: is set together with DB_PASSWORD; set one of them',
      ]);
    });
  });

  it('warns of seconds that were probably meant as milliseconds', () => {
    expect(originsIn(readEnvironment({ DB_STATEMENT_TIMEOUT: '30000' }))?.warnings).toEqual([
      'DB_STATEMENT_TIMEOUT: 30000 is read as seconds; if milliseconds are meant, write 30000ms',
    ]);
    expect(
      originsIn(readEnvironment({ DB_STATEMENT_TIMEOUT: '3600', DB_POOL_RECYCLE: '1800' }))?.warnings,
    ).toEqual([]);
  });

  it('returns settings that are deeply frozen', () => {
    const settings = readEnvironment({ DB_URL: URL, DB_POOL_SIZE: '7' });
    for (const part of [settings, settings.pool, settings.url, originsIn(settings)?.values])
      expect(Object.isFrozen(part)).toBe(true);
  });

  it('hides secrets from inspect and JSON', () => {
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

  it('can be injected and spread into the options, and keeps the origins', async () => {
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

  it('is the factory that registerAs of @nestjs/config returns', async () => {
    const theirs = registerAs('database', () => ({}));
    expect(Object.getOwnPropertyDescriptors(databaseConfig)).toMatchObject({
      ...Object.getOwnPropertyDescriptors(theirs),
      asProvider: { value: expect.any(Function), enumerable: false, configurable: false, writable: false },
    });
    const [ours, expected] = [databaseConfig.asProvider(), theirs.asProvider()];
    expect(Object.keys(ours)).toEqual(Object.keys(expected));
    expect(ours.inject).toEqual(expected.inject);
    const { module, exports } = await ours.imports[0];
    expect({ module, exports }).toEqual({
      module: expected.imports[0].module,
      exports: expected.imports[0].exports,
    });
  });

  it('can be the only source of the options', async () => {
    process.env['DATABASE_URL'] = URL;
    const { useFactory } = databaseConfig.asProvider();
    const options: DatabaseModuleOptions = useFactory(databaseConfig());
    expect(resolveDatabaseOptions(options, { env: {} }).origins['url']).toBe('environment DATABASE_URL');
  });
});

describe('.env.example', () => {
  it('shows valid values', () => {
    const files = ['DB_URL_FILE', 'DB_PASSWORD_FILE', 'DB_SSL_CA', 'DB_SSL_CERT', 'DB_SSL_KEY'];
    const shown = VARIABLES.filter(({ name }) => !files.includes(name));
    expect(problemsOf(Object.fromEntries(shown.map(({ name, example }) => [name, example])))).toEqual([]);
  });
});
