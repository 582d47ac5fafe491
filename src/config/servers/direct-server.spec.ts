import { inspect } from 'node:util';
import { describe, expect, it } from '@jest/globals';
import type { DatabaseModuleOptions, SecretText } from '../../database.options.js';
import { resolveDatabaseOptions } from '../resolve.js';

const resolve = (options: DatabaseModuleOptions) => resolveDatabaseOptions(options, { env: {} });
const POOLED = 'postgres://app:s3cret@ep-cool-1-pooler.eu-central-1.aws.neon.tech/orders';

describe('The direct server', () => {
  it('is undefined without directUrl and for a host that is not pooled', () => {
    expect(resolve({ url: 'postgres://app:x@localhost/orders' }).direct).toBeUndefined();
    expect(resolve({ url: POOLED.replace('-pooler', '') }).direct).toBeUndefined();
    expect(resolve({ url: POOLED.replace('-pooler', ''), directUrl: '' }).direct).toBeUndefined();
  });

  it('of a pooled host of Neon is the host without -pooler, with TLS for that name', () => {
    const { direct, origins } = resolve({ url: `${POOLED}?channel_binding=require` });
    const host = 'ep-cool-1.eu-central-1.aws.neon.tech';
    expect(direct).toMatchObject({
      server: { host, port: 5432, username: 'app', database: 'orders' },
      ssl: { mode: 'verify-full', tls: { servername: host, rejectUnauthorized: true } },
      channelBinding: 'require',
    });
    expect((direct?.password as SecretText).reveal()).toBe('s3cret');
    expect(origins['directUrl']).toBe('url');
  });

  it('does not use the TLS server name of the pooler of Neon', () => {
    const servername = 'ep-cool-1-pooler.eu-central-1.aws.neon.tech';
    const { direct } = resolve({ url: POOLED, ssl: { servername } });
    expect(direct?.ssl.tls).toMatchObject({ servername: 'ep-cool-1.eu-central-1.aws.neon.tech' });
  });

  it('is directUrl with its own parameters, and with the password of url for the same user', () => {
    const { direct } = resolve({
      url: POOLED,
      directUrl: 'postgres://app@db.internal:6000/orders?sslmode=disable&options=-c%20geqo%3Doff',
    });
    expect(direct).toMatchObject({
      server: { host: 'db.internal', port: 6000, username: 'app', database: 'orders' },
      ssl: { mode: 'disable', tls: false },
      startupOptions: '-c geqo=off',
    });
    expect((direct?.password as SecretText).reveal()).toBe('s3cret');
    expect(
      resolve({ url: POOLED, directUrl: 'postgres://admin@db.internal/orders' }).direct?.password,
    ).toBeUndefined();
  });

  it('has the user and the database of url when directUrl has none', () => {
    expect(resolve({ url: POOLED, directUrl: 'postgres://db.internal' }).direct).toMatchObject({
      server: { host: 'db.internal', username: 'app', database: 'orders' },
      password: { reveal: expect.any(Function) },
    });
  });

  it('is named directUrl in its problems, which show no secret', () => {
    expect(() => resolve({ url: POOLED, directUrl: 'mysql://root:hidden@host/x' })).toThrow(
      'directUrl: it starts with mysql://',
    );
    const resolved = resolve({ url: POOLED, directUrl: 'postgres://app:hidden@db.internal/orders' });
    expect(`${inspect(resolved, { depth: 9 })}${JSON.stringify(resolved)}`).not.toMatch(/hidden|s3cret/);
  });

  it('has the password function of url for the same user', () => {
    const url = 'postgres://app@localhost:6432/orders';
    const of = (user: string) =>
      resolve({ url, directUrl: `postgres://${user}@localhost/orders`, password: () => 'token' });
    const { password, direct } = of('app');
    expect(direct?.password).toBe(password);
    expect(of('owner').direct?.password).toBeUndefined();
  });

  it('has the requirements of its own URL', () => {
    const url = 'postgres://app:x@localhost:6432/orders?require_auth=password';
    const directUrl =
      'postgres://localhost/orders?target_session_attrs=primary&sslmode=require&sslnegotiation=direct';
    expect(resolve({ url, directUrl, username: 'app' }).direct).toMatchObject({
      requireAuth: undefined,
      serverKind: 'primary',
      ssl: { mode: 'require', negotiation: 'direct' },
    });
  });

  it('has the time limits and the application name of its own URL, unless they are set explicitly', () => {
    const directUrl =
      'postgres://app@localhost/orders?statement_timeout=0&lock_timeout=3000&application_name=migrate';
    const url = 'postgres://app:x@localhost:6432/orders?statement_timeout=9000';
    expect(resolve({ url, directUrl }).direct).toMatchObject({
      timeouts: { statementMs: 0, lockMs: 3_000 },
      applicationName: 'migrate',
    });
    const explicit = { timeouts: { statementMs: 7_000 }, applicationName: 'orders' };
    expect(resolve({ url, directUrl, ...explicit }).direct).toMatchObject({
      timeouts: { lockMs: 3_000 },
      applicationName: undefined,
    });
  });

  it('is named directUrl in the problem of a file', () => {
    const directUrl = 'postgres://app@localhost/orders?sslmode=verify-ca&sslrootcert=/nowhere.pem';
    expect(() => resolve({ url: 'postgres://app:x@localhost/orders', directUrl })).toThrow(
      'directUrl (sslrootcert): the file /nowhere.pem does not exist',
    );
  });
});
