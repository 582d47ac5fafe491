import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { startTcpProxy } from '../support/tcp-proxy.js';
import type { TcpProxy } from '../support/tcp-proxy.js';

/** Runs an app with the built package in a separate process. */
const APP = (imports: string) => `
  import 'reflect-metadata';
  import { Module } from '@nestjs/common';
  import { NestFactory } from '@nestjs/core';
  import { DatabaseModule } from 'nestjs-database';
  class App {}
  Module({ imports: [${imports}] })(App);
  const app = await NestFactory.create(App);
  await app.listen(0, '127.0.0.1');
  console.log('started');
  await app.close();
`;

const SECRET = 'hunter2-very-secret';

interface Outcome {
  code: number | null;
  signal: string | null;
  output: string;
}

async function start(imports: string, env: Record<string, string> = {}): Promise<Outcome> {
  const { PATH, HOME } = process.env;
  const child = spawn(process.execPath, ['--input-type=module', '--eval', APP(imports)], {
    env: { PATH, HOME, NO_COLOR: '1', ...env },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  let output = '';
  child.stdout.on('data', (chunk: Buffer) => (output += chunk.toString()));
  child.stderr.on('data', (chunk: Buffer) => (output += chunk.toString()));
  const [code, signal] = (await once(child, 'close')) as [number | null, string | null];
  return { code, signal, output };
}

describe('An app ends before any connection', () => {
  let listener: TcpProxy;

  beforeAll(async () => {
    listener = await startTcpProxy({ port: 1 });
  });
  afterAll(() => listener.close());

  const url = (rest = '') => `postgres://app:${SECRET}@127.0.0.1:${listener.port}/app${rest}`;
  const expectRefused = ({ code, signal, output }: Outcome, settings: string[]) => {
    expect({ output, code, signal }).toEqual({ output: expect.any(String), code: 1, signal: null });
    expect(output.match(/The database settings are not valid/g)).toHaveLength(1);
    for (const setting of settings)
      expect(output).toMatch(new RegExp(`^\\s+${setting.replace('.', '\\.')}: `, 'm'));
    expect(output).not.toContain(SECRET);
    expect(output).not.toContain('started');
    expect(listener.total).toBe(0);
  };

  it.each<[string, () => Record<string, string>, string[]]>([
    ['no DB_URL', () => ({}), ['DB_URL']],
    ['an empty DB_URL', () => ({ DB_URL: '' }), ['DB_URL']],
    ['a DB_URL that is not a URL', () => ({ DB_URL: `not a url ${SECRET}` }), ['DB_URL']],
    ['the URL of another database', () => ({ DB_URL: `mysql://app:${SECRET}@127.0.0.1/app` }), ['DB_URL']],
    ['an invalid port', () => ({ DB_URL: `postgres://app:${SECRET}@127.0.0.1:99999/app` }), ['DB_URL']],
    ['an empty host', () => ({ DB_URL: `postgres://app:${SECRET}@/app` }), ['DB_URL']],
    ['a wrong DATABASE_URL', () => ({ DATABASE_URL: `http://app:${SECRET}@127.0.0.1` }), ['DATABASE_URL']],
    ['a pool size of 0', () => ({ DB_URL: url(), DB_POOL_SIZE: '0' }), ['DB_POOL_SIZE']],
    ['a pool size of -3', () => ({ DB_URL: url(), DB_POOL_SIZE: '-3' }), ['DB_POOL_SIZE']],
    ['a pool size of abc', () => ({ DB_URL: url(), DB_POOL_SIZE: 'abc' }), ['DB_POOL_SIZE']],
    ['a missing CA file', () => ({ DB_URL: url(), DB_SSL_CA: '/nowhere/ca.pem' }), ['DB_SSL_CA']],
    [
      'several invalid variables',
      () => ({
        DB_URL: 'x',
        DB_POOL_SIZE: '0',
        DB_POOL_TIMEOUT: '30 parsecs',
        DB_STARTUP: 'maybe',
        DB_ECHO: 'loud',
      }),
      ['DB_URL', 'DB_POOL_SIZE', 'DB_POOL_TIMEOUT', 'DB_STARTUP', 'DB_ECHO'],
    ],
  ])('because of %s', async (_what, env, settings) => {
    expectRefused(await start('DatabaseModule.forRoot()', env()), settings);
  });

  it.each<[string, (target: string) => string, string[]]>([
    [
      'a pool size of -3',
      (u) => `DatabaseModule.forRoot({ url: '${u}', pool: { size: -3 } })`,
      ['pool.size'],
    ],
    [
      'a timeout that is too short for any unit',
      (u) => `DatabaseModule.forRoot({ url: '${u}', pool: { acquireTimeoutMs: 30 } })`,
      ['pool.acquireTimeoutMs'],
    ],
    ['a misspelt option', (u) => `DatabaseModule.forRoot({ url: '${u}', poolSize: 5 })`, ['poolSize']],
    [
      'a factory that returns undefined',
      () => 'DatabaseModule.forRootAsync({ useFactory: () => undefined })',
      ['options'],
    ],
    ['a URL in place of the options', (u) => `DatabaseModule.forRoot('${u}')`, ['forRoot']],
    [
      'a dataSourceFactory',
      () => 'DatabaseModule.forRootAsync({ useFactory: () => ({}), dataSourceFactory: () => 1 })',
      ['dataSourceFactory'],
    ],
    ['a text for TLS', (u) => `DatabaseModule.forRoot({ url: '${u}', ssl: 'require' })`, ['ssl']],
    ['a named data source without a URL', () => `DatabaseModule.forRoot({ name: 'reporting' })`, ['url']],
    ['no factory at all', () => 'DatabaseModule.forRootAsync({})', ['forRootAsync']],
  ])('because of %s in code', async (_what, imports, settings) => {
    expectRefused(await start(imports(url())), settings);
  });

  it.each([
    ['of the app', `throw new Error('no vault today')`, 'no vault today'],
    ['that shows the URL', `new URL('postgres //app:${SECRET}@nowhere')`, 'Invalid URL'],
    [
      'whose message contains the URL',
      `throw new Error('no way to postgres://app:${SECRET}@nowhere')`,
      'no way to',
    ],
  ])('because of a factory that throws an error %s in code', async (_what, body, message) => {
    const outcome = await start(`DatabaseModule.forRootAsync({ useFactory: () => { ${body} } })`);
    expectRefused(outcome, ['forRootAsync']);
    expect(outcome.output).toContain(message);
  });

  it('because of a class whose createDatabaseOptions throws', async () => {
    const outcome = await start(
      `DatabaseModule.forRootAsync({ useClass: class { createDatabaseOptions() { return new URL('postgres://app:${SECRET}@host:99999/db'); } } })`,
    );
    expectRefused(outcome, ['forRootAsync']);
  });

  it('because of a named data source whose URL is not set, even if DB_URL is', async () => {
    const imports = `DatabaseModule.forRoot({ name: 'reporting', url: process.env.REPORTING_URL })`;
    expectRefused(await start(imports, { DB_URL: url() }), ['url']);
  });

  it.each([
    ['forRoot()', { DB_STARTUP: 'off' }],
    [`forRoot({ startup: 'off' })`, {}],
    [`forRoot({ name: 'reporting', startup: 'off' })`, {}],
    [`forRootAsync({ useFactory: () => ({ startup: 'off' }) })`, {}],
  ])('but not because of a missing URL with startup off: %s %o', async (call, env) => {
    expect((await start(`DatabaseModule.${call}`, env as Record<string, string>)).output).toContain(
      'started',
    );
  });

  it('because of an invalid variable when the code sets undefined or an empty URL', async () => {
    const variables = { DB_URL: url(), DB_STARTUP: 'off', DB_POOL_SIZE: '0' };
    for (const options of [
      '{ url: process.env.X }',
      `{ url: '' }`,
      '{ host: undefined, pool: undefined }',
      '{ pool: { size: undefined } }',
    ])
      expectRefused(await start(`DatabaseModule.forRoot(${options})`, variables), ['DB_POOL_SIZE']);
  });

  it('but not because of a short timeout, which causes a warning', async () => {
    const { output } = await start(
      `DatabaseModule.forRoot({ url: '${url()}', startup: 'off', timeouts: { statementMs: 30 } })`,
    );
    expect(output).toMatch(/WARN.*timeouts\.statementMs.*30/);
  });
});
