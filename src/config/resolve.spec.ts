import { inspect } from 'node:util';
import { describe, expect, it } from '@jest/globals';
import { DatabaseConfigError } from '../errors/config.errors.js';
import type { DatabaseModuleOptions, PasswordSource } from '../database.options.js';
import { readEnvironment } from './environment/environment.js';
import type { Environment } from './environment/variable-names.js';
import { resolveDatabaseOptions } from './resolve.js';
import { Secret } from './secrets/secret.js';
import { DEFAULTS } from './settings/defaults.js';

const URL = 'postgres://me:hunter2@localhost/app';
const resolve = (options: object = {}, env: Environment = {}) =>
  resolveDatabaseOptions({ url: URL, ...options }, { env });

/** Options that no type allows, as they come from JavaScript or JSON. */
const problemsOf = (options: unknown, env: Environment = {}): string[] => {
  try {
    resolveDatabaseOptions(options as DatabaseModuleOptions, { env });
  } catch (error) {
    if (!(error instanceof DatabaseConfigError)) throw error;
    expect(inspect(error, { depth: 9, showHidden: true })).not.toContain('hunter2');
    return error.problems.map(({ setting, message }) => `${setting}: ${message}`);
  }
  return [];
};

/** The text of a password that no function gives. */
const revealed = (password: unknown) => (Secret.is(password) ? password.reveal() : undefined);

describe('The defaults', () => {
  it('are those of production', () => {
    expect(resolve()).toMatchObject({
      name: 'default',
      profile: 'production',
      server: { host: 'localhost', port: 5432, database: 'app', username: 'me' },
      pool: {
        size: 5,
        maxOverflow: 10,
        acquireTimeoutMs: 30_000,
        maxLifetimeMs: 1_800_000,
        prePing: true,
        leakThresholdMs: 0,
      },
      timeouts: {
        connectMs: 10_000,
        statementMs: 30_000,
        idleInTransactionMs: 60_000,
        lockMs: 0,
        shutdownMs: 10_000,
      },
      ssl: { mode: 'disable', tls: false },
      session: {},
      startup: 'verify',
      connectRetry: { retries: 10, initialDelayMs: 200, maxDelayMs: 5_000 },
      echo: false,
      preparedStatements: DEFAULTS.preparedStatements,
      autoLoadEntities: true,
      typeorm: {},
      warnings: [],
    });
  });

  it.each([
    [
      'development',
      { size: 2, maxOverflow: 5, acquireTimeoutMs: 10_000, maxLifetimeMs: 300_000, leakThresholdMs: 30_000 },
    ],
    [
      'serverless',
      { size: 2, maxOverflow: 0, acquireTimeoutMs: 10_000, maxLifetimeMs: 300_000, leakThresholdMs: 0 },
    ],
  ] as const)('of the profile %s', (profile, pool) => {
    expect(resolve({ profile })).toMatchObject({ profile, pool: { ...pool, prePing: true } });
  });

  it('follow NODE_ENV when no profile is set', () => {
    expect(resolve({}, { NODE_ENV: 'test' })).toMatchObject({
      profile: 'development',
      pool: { size: 2 },
      origins: { profile: 'environment NODE_ENV' },
    });
    expect(resolve({ profile: 'production' }, { NODE_ENV: 'test' }).profile).toBe('production');
  });

  it('load entities automatically unless the options list them', () => {
    expect(resolve({ entities: [] }).autoLoadEntities).toBe(false);
    expect(resolve({ entities: [], autoLoadEntities: true }).autoLoadEntities).toBe(true);
  });

  it('apply to an option that is undefined', () => {
    expect(resolve({ pool: { size: undefined }, timeouts: undefined }).pool.size).toBe(5);
  });
});

describe('The value of a setting', () => {
  const env = readEnvironment({
    DB_URL: URL,
    DB_POOL_SIZE: '7',
    DB_POOL_TIMEOUT: '10s',
    DB_PROFILE: 'development',
  });

  it('comes from the options, else from the profile, else from the default, and its origin is recorded', () => {
    const { pool, origins } = resolve({ ...env, pool: { ...env.pool, size: 8 } });
    expect(pool).toMatchObject({ size: 8, acquireTimeoutMs: 10_000, maxOverflow: 5, prePing: true });
    expect(origins).toMatchObject({
      url: 'environment DB_URL',
      host: 'url',
      profile: 'environment DB_PROFILE',
      'pool.size': 'options',
      'pool.acquireTimeoutMs': 'environment DB_POOL_TIMEOUT',
      'pool.maxOverflow': 'profile',
      'pool.prePing': 'default',
    });
  });

  it('comes from the options, else from the URL', () => {
    const url = `${URL}?connect_timeout=15&application_name=from-url&sslmode=require`;
    expect(resolve({ url })).toMatchObject({
      timeouts: { connectMs: 15_000 },
      applicationName: 'from-url',
      ssl: { mode: 'require' },
      origins: { 'timeouts.connectMs': 'url', applicationName: 'url', 'ssl.mode': 'url' },
    });
    expect(
      resolve({ url, timeouts: { connectMs: 5_000 }, applicationName: 'mine', ssl: { mode: 'disable' } }),
    ).toMatchObject({ timeouts: { connectMs: 5_000 }, applicationName: 'mine', ssl: { mode: 'disable' } });
  });

  it('is named by its variable in a problem', () => {
    const wrong = readEnvironment({ DB_URL: `${URL}?sslmode=prefer` });
    expect(problemsOf(wrong)).toEqual([expect.stringMatching(/^DB_URL: sslmode=prefer/)]);
  });

  it('comes from the environment when the code sets undefined or an empty URL', () => {
    for (const over of [
      { pool: { ...env.pool, size: undefined }, profile: undefined },
      { pool: undefined, url: undefined },
      { url: '' },
    ])
      expect(resolveDatabaseOptions({ ...env, ...over }, { env: {} })).toMatchObject({
        profile: 'development',
        server: { host: 'localhost', username: 'me', database: 'app' },
        pool: { size: 7, acquireTimeoutMs: 10_000 },
        origins: { 'pool.size': 'environment DB_POOL_SIZE', url: 'environment DB_URL' },
      });
    // A group that is replaced is replaced.
    expect(resolve({ ...env, pool: { maxOverflow: 3 } }).pool.size).toBe(2);
  });

  it('is resolved together with the warnings of the environment', () => {
    expect(resolve({ ...readEnvironment({ DB_POOLSIZE: '3' }) }).warnings).toEqual([
      'DB_POOLSIZE: is not read; did you mean DB_POOL_SIZE?',
    ]);
  });
});

describe('The server', () => {
  it('may be missing with startup off', () => {
    const { missingServer, startup } = resolveDatabaseOptions({ startup: 'off' }, { env: {} });
    expect(startup).toBe('off');
    expect(missingServer).toMatchObject({ setting: 'DB_URL', message: expect.stringMatching(/^is not set/) });
    expect(problemsOf({ startup: 'lazy' })).toEqual([expect.stringMatching(/^DB_URL: is not set/)]);
  });

  it('of a named data source is never the server in DB_URL', () => {
    try {
      resolveDatabaseOptions({ url: '' }, { name: 'reporting', env: {} });
      expect('no error').toBe('an error');
    } catch (error) {
      expect((error as DatabaseConfigError).problems).toEqual([
        {
          setting: 'url',
          message: expect.stringMatching(/^is not set or empty; give the data source "reporting" its url/),
        },
      ]);
    }
  });

  it('is refused in a form of other libraries, with a message that shows the form to use', () => {
    expect(problemsOf('postgres://me:hunter2@localhost/app')).toEqual([
      'options: a string was given; pass a URL as { url: … }',
    ]);
    expect(problemsOf({ url: URL, ssl: 'require' })).toEqual([
      `ssl: "require" is not a group of settings: { … }; write ssl: { mode: 'require' }`,
    ]);
    expect(problemsOf({ url: URL, ssl: 'on' })).toEqual([
      expect.stringMatching(/write true, false or \{ mode: … \} with one of disable, require/),
    ]);
    expect(problemsOf({ url: URL, dataSourceFactory: () => undefined })).toEqual([
      expect.stringMatching(/^dataSourceFactory: is not supported; this module creates the data source/),
    ]);
  });

  it('has no settings from keys that every object inherits', () => {
    expect(resolve({ session: { constructor: 'x' }, extra: { toString: 'x' } }).session).toEqual({
      constructor: 'x',
    });
  });

  it('can be given by separate options', () => {
    const { server, password, origins } = resolveDatabaseOptions(
      { host: 'db.local', port: 5433, username: 'me', password: 'p', database: 'app' },
      { env: {} },
    );
    expect(server).toEqual({ host: 'db.local', port: 5433, username: 'me', database: 'app' });
    expect(revealed(password)).toBe('p');
    expect(origins).toMatchObject({ host: 'options', port: 'options' });
  });

  it('takes the parts that the URL lacks from separate options', () => {
    const { server, password } = resolveDatabaseOptions(
      { url: 'postgres://localhost', username: 'me', password: new Secret('p') },
      { env: {} },
    );
    expect(server).toEqual({ host: 'localhost', port: 5432, username: 'me', database: 'me' });
    expect(revealed(password)).toBe('p');
  });

  it('may combine a password function with a URL without a password', async () => {
    const give = () => 'token';
    const { password, origins } = resolve({
      ...readEnvironment({ DB_URL: 'postgres://me@localhost/app' }),
      password: give,
    });
    expect(await (password as PasswordSource).ask()).toBe('token');
    expect(origins).toMatchObject({ password: 'options', url: 'environment DB_URL' });
    expect(() => resolve({ url: 'postgres://me:p@localhost/app', password: give })).toThrow(
      'password: contradicts url; give one of them',
    );
  });

  it('may be given twice with the same values', () => {
    expect(
      resolve({ host: 'localhost', username: 'me', database: 'app', password: 'hunter2' }).server.host,
    ).toBe('localhost');
  });

  it('must not be given twice with different values', () => {
    expect(problemsOf({ url: URL, host: 'db', port: 1, database: 'b', password: 'x' })).toEqual([
      expect.stringMatching(/^host: contradicts url/),
      expect.stringMatching(/^database: contradicts url/),
      expect.stringMatching(/^password: contradicts url/),
    ]);
  });

  it.each([[{}], [{ url: '' }], [{ url: undefined }], [{ username: 'me' }]])(
    'is missing in %p',
    (options) => {
      expect(problemsOf(options)).toEqual([
        expect.stringMatching(/^DB_URL: is not set; give DB_URL \(or DATABASE_URL\)/),
      ]);
    },
  );

  it('has no password when the password is empty', () => {
    expect(
      resolveDatabaseOptions({ host: 'db', username: 'me', password: '' }, { env: {} }).password,
    ).toBeUndefined();
  });

  it('is refused when host holds a URL, and no message shows the URL', () => {
    expect(problemsOf({ host: URL })).toEqual([expect.stringMatching(/^host: .*give a URL as url/)]);
  });
});

describe('Invalid options', () => {
  it.each([
    [undefined, /options: undefined was given; does the factory return/],
    [null, /options: null was given/],
    ['postgres://me:hunter2@host/app', /options: a string was given/],
    [[], /options: a list was given/],
  ])('%p are refused', (options, message) => {
    expect(problemsOf(options)).toEqual([expect.stringMatching(message)]);
  });

  it.each<[object, RegExp]>([
    [{ type: 'mysql' }, /^type: "mysql" is not supported/],
    [{ poolSize: 5 }, /^poolSize: is not supported; use pool\.size/],
    [{ poolsize: 5 }, /^poolsize: is not a setting; use pool\.size/],
    [{ timeout: { connectMs: 5_000 } }, /^timeout: is not a setting; did you mean timeouts\?/],
    [{ entites: [] }, /^entites: is not a setting; did you mean entities\?/],
    [{ connectTimeoutMS: 5 }, /use timeouts\.connectMs/],
    [{ replication: {} }, /^replication\.slaves: undefined is not a list of servers/],
    [{ replication: { slaves: [{}] } }, /^replication\.slaves\.0: names no server; give url or host/],
    [
      { replication: { slaves: [{ hots: 'replica' }] } },
      /^replication\.slaves\.0\.hots: is not a setting; did you mean replication\.slaves\.0\.host\?/,
    ],
    [{ driver: {} }, /^driver: is not supported/],
    [{ pool: { size: 0 } }, /^pool\.size: 0 is not a whole number from 1 to 100/],
    [{ pool: { size: -3 } }, /^pool\.size: -3 is not/],
    [{ pool: { size: 'abc' } }, /^pool\.size: "abc" is not/],
    [{ pool: { size: Number.NaN } }, /^pool\.size: NaN is not/],
    [{ pool: { size: 2.5 } }, /^pool\.size: 2\.5 is not/],
    [{ pool: { siez: 3 } }, /^pool\.siez: is not a setting; did you mean pool\.size\?/],
    [{ pool: 5 }, /^pool: 5 is not a group/],
    [{ pool: null }, /^pool: null is not a group/],
    [
      { pool: { acquireTimeoutMs: 30 } },
      /30 is not a whole number of milliseconds from 1 000 to 300 000; 30 seconds are 30 000/,
    ],
    [{ pool: { maxLifetimeMs: 1_000 } }, /^pool\.maxLifetimeMs/],
    [{ pool: { leakThresholdMs: 1 } }, /or 0 for off/],
    [
      { timeouts: { statementMs: '30s' } },
      /^timeouts\.statementMs: "30s" is not a whole number of milliseconds/,
    ],
    [{ timeouts: { statement: 30 } }, /^timeouts\.statement: is not a setting/],
    [
      { ssl: { rejectUnauthorised: false } },
      /^ssl\.rejectUnauthorised: is not a setting; did you mean ssl\.rejectUnauthorized/,
    ],
    [{ ssl: { rejectUnauthorized: 'false' } }, /^ssl\.rejectUnauthorized: "false" is not true or false/],
    [{ ssl: { host: 'x', mode: 'require' } }, /^ssl\.host: is not an option of TLS/],
    [{ ssl: { mode: 'prefer' } }, /^ssl\.mode: "prefer" is not one of/],
    [{ ssl: 'require' }, /^ssl: "require" is not a group/],
    [{ ssl: { ca: '/nowhere/ca.pem' } }, /^ssl\.ca: the file \/nowhere\/ca\.pem does not exist/],
    [{ session: { 'a b': 1 } }, /^session\.a b: is not the name/],
    [{ session: { a: {} } }, /^session\.a: an object is not/],
    [{ session: { a: 'x\0y' } }, /^session\.a: contains a null character/],
    [{ session: { Statement_Timeout: 5 } }, /use timeouts\.statementMs/],
    [{ extra: { max: 5 } }, /^extra\.max: would contradict.*pool\.size/],
    [{ extra: { password: 'hunter2' } }, /^extra\.password: would contradict/],
    [{ extra: 5 }, /^extra: 5 is not a group/],
    [{ password: 5 }, /^password: a number is not a password/],
    [{ url: 5 }, /^url: a number is not a URL/],
    [{ url: 'not a url' }, /^url: it contains white space/],
    [{ echo: 'yes' }, /^echo: "yes" is not/],
    [{ preparedStatements: 100 }, /^preparedStatements: 100 is not a group of settings/],
    [{ preparedStatements: { max: 0 } }, /^preparedStatements.max: 0 is not a whole number from 1/],
    [{ echo: { parametres: true } }, /did you mean echo\.parameters/],
    [{ connectRetry: -1 }, /^connectRetry\.retries: -1 is not/],
    [{ connectRetry: { initialDelayMs: 9, maxDelayMs: 3 } }, /^connectRetry\.initialDelayMs: 9 is more than/],
    [{ connectRetry: 3, retryAttempts: 3 }, /^connectRetry\.retries: contradicts retryAttempts/],
    [{ toRetry: true }, /^toRetry: true is not a function/],
    [{ applicationName: '' }, /^applicationName/],
    [{ startup: 'never' }, /^startup: "never" is not one of/],
    [{ pool: { size: 2, minIdle: 3 } }, /^pool.minIdle: 3 is more than pool.size 2/],
    [{ startup: 'lazy', synchronize: true }, /^synchronize: needs the database at start/],
    [{ startup: 'lazy', migrationsRun: true }, /^migrationsRun: needs the database at start/],
    [{ url: `${URL}?channel_binding=require` }, /^ssl\.mode: is disable, but channel_binding=require/],
    [{ url: `${URL}?application_name=${'x'.repeat(64)}` }, /^url \(application_name\)/],
  ])('%j is refused', (options, message) => {
    const problems = problemsOf({ url: URL, ...options });
    expect(problems).toHaveLength(1);
    expect(problems[0]).toMatch(message);
  });

  it('are reported in one error', () => {
    expect(
      problemsOf({
        url: 'mysql://me:hunter2@host/app',
        pool: { size: -3, maxOverflow: 'x' },
        timeouts: { connectMs: 30 },
        ssl: { ca: '/nowhere/ca.pem', mod: 'require' },
        poolsize: 4,
        extra: { max: 3 },
      }).map((problem) => problem.split(': ')[0]),
    ).toEqual([
      'poolsize',
      'extra.max',
      'pool.size',
      'pool.maxOverflow',
      'timeouts.connectMs',
      'ssl.mod',
      'url',
      'ssl.ca',
    ]);
  });

  it('carry the name of the data source', () => {
    expect(() => resolveDatabaseOptions({}, { name: 'reports', env: {} })).toThrow(
      expect.objectContaining({ dataSource: 'reports', code: 'DATABASE_CONFIG_INVALID' }),
    );
  });
});

describe('A suspicious option', () => {
  it.each<[object, RegExp]>([
    [{ timeouts: { statementMs: 30 } }, /^timeouts\.statementMs: 30 ms is very short.*30 seconds are 30 000/],
    [{ synchronize: true }, /^synchronize: is on in profile production.*DELETE/],
    [{ dropSchema: true }, /^dropSchema: is on in profile production/],
    [
      { keepAlive: 5 },
      /^keepAlive: is not a known option of this module or of TypeORM; it is passed on to TypeORM/,
    ],
    [{ ssl: { mode: 'require', whatever: 1 } }, /^ssl\.whatever: is not a known option/],
    [{ url: `${URL}?pool_timeout=3` }, /^url: the parameter pool_timeout has no effect/],
  ])('is accepted with a warning: %j', (options, message) => {
    expect(resolve(options).warnings).toEqual([expect.stringMatching(message)]);
  });

  it.each<[object]>([
    [{ timeouts: { statementMs: 0, lockMs: 200, idleInTransactionMs: 1_000 } }],
    [{ synchronize: true, profile: 'development' }],
    [{ synchronize: false }],
    [{ extra: { keepAlive: true, max: undefined } }],
    [{ poolSize: undefined, keepConnectionAlive: false }],
    [{ ssl: { mode: 'require', rejectUnauthorized: true, ciphers: 'x' } }],
  ])('is not %j', (options) => {
    expect(resolve(options).warnings).toEqual([]);
  });
});

describe('The retries of a start', () => {
  it('take 30 s by default, without the jitter, for a server that refuses connections', () => {
    const { retries, initialDelayMs, maxDelayMs } = resolve({}).connectRetry;
    const pauses = Array.from({ length: retries }, (_, tried) =>
      Math.min(initialDelayMs * 2 ** tried, maxDelayMs),
    );
    expect(pauses.reduce((sum, pause) => sum + pause, 0)).toBeGreaterThanOrEqual(30_000);
  });
});

describe('An option of @nestjs/typeorm', () => {
  it('is accepted as type and name', () => {
    expect(resolve({ type: 'postgres', name: 'reports' }).name).toBe('reports');
    expect(resolveDatabaseOptions({ url: URL, name: 'x' } as never, { name: 'reports' }).name).toBe(
      'reports',
    );
  });

  it('sets the retries: retryAttempts counts the first attempt, retryDelay is the pause before each', () => {
    const toRetry = () => true;
    const { connectRetry, toRetry: kept } = resolve({ retryAttempts: 10, retryDelay: 3_000, toRetry });
    expect(connectRetry).toEqual({ retries: 9, initialDelayMs: 3_000, maxDelayMs: 3_000 });
    expect(kept).toBe(toRetry);
    expect(resolve({ retryAttempts: 0 }).connectRetry.retries).toBe(0);
  });
});

describe('A short form', () => {
  it('of connectRetry is the number of retries', () => {
    expect(resolve({ connectRetry: 3 }).connectRetry).toEqual({
      retries: 3,
      initialDelayMs: 200,
      maxDelayMs: 5_000,
    });
  });

  it('of connectRetry with one delay moves the default of the other', () => {
    expect(resolve({ connectRetry: { initialDelayMs: 9_000 } }).connectRetry.maxDelayMs).toBe(9_000);
    expect(resolve({ connectRetry: { maxDelayMs: 100 } }).connectRetry.initialDelayMs).toBe(100);
  });

  it('of preparedStatements is true or false', () => {
    const ofPreparing = (given: DatabaseModuleOptions['preparedStatements']) =>
      resolve({ preparedStatements: given }).preparedStatements;
    expect(ofPreparing(undefined)).toEqual(DEFAULTS.preparedStatements);
    expect(ofPreparing(true)).toEqual(DEFAULTS.preparedStatements);
    expect(ofPreparing({ max: 10 })).toEqual({ threshold: 5, max: 10 });
    expect(ofPreparing(false)).toBe(false);
  });

  it('of echo is true or false', () => {
    expect(resolve({ echo: true }).echo).toEqual({ parameters: false, maxLength: 2_000 });
    expect(resolve({ echo: { parameters: true } }).echo).toEqual({ parameters: true, maxLength: 2_000 });
    expect(resolve({ echo: false }).echo).toBe(false);
  });

  it('of a session value becomes its text in SQL', () => {
    expect(resolve({ session: { search_path: 'app', geqo: false, work_mem: 64 } }).session).toEqual({
      search_path: 'app',
      geqo: 'off',
      work_mem: '64',
    });
  });
});

describe('resolveDatabaseOptions', () => {
  it('freezes what it creates, but not the objects of the app', () => {
    class User {}
    const logger = { log: () => undefined };
    const resolved = resolve({ entities: [User], logger });
    for (const part of [
      resolved,
      resolved.pool,
      resolved.server,
      resolved.origins,
      resolved.typeorm,
      resolved.warnings,
    ])
      expect(Object.isFrozen(part)).toBe(true);
    expect([
      Object.isFrozen(User),
      Object.isFrozen(logger),
      Object.isFrozen(resolved.typeorm.entities),
    ]).toEqual([false, false, false]);
    expect(resolved.typeorm).toEqual({ entities: [User], logger });
  });

  it('passes on the options of TypeORM, without URL, password and TLS', () => {
    const { typeorm } = resolve({
      schema: 'app',
      logging: true,
      ssl: true,
      password: 'hunter2',
      pool: { size: 3 },
    });
    expect(typeorm).toEqual({ schema: 'app', logging: true });
  });

  it('hides secrets from inspect and JSON', () => {
    const resolved = resolve({ ...readEnvironment({ DB_URL: URL }) });
    expect(inspect(resolved, { depth: 9, showHidden: true }) + JSON.stringify(resolved)).not.toContain(
      'hunter2',
    );
    expect(revealed(resolved.password)).toBe('hunter2');
  });

  it('passes on the parameters of the URL for the startup packet', () => {
    expect(resolve({ url: `${URL}?options=-c%20geqo%3Doff&channel_binding=prefer` })).toMatchObject({
      startupOptions: '-c geqo=off',
      channelBinding: 'prefer',
    });
  });
});
