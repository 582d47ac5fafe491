import { inspect } from 'node:util';
import { describe, expect, it } from '@jest/globals';
import { DatabaseConfigError } from '../../errors/config.errors.js';
import type { DatabaseModuleOptions } from '../../database.options.js';
import { readEnvironment } from '../environment/environment.js';
import { resolveDatabaseOptions } from '../resolve.js';

const PRIMARY = 'postgres://app:hunter2@primary.internal:6432/shop';

const resolve = (options: DatabaseModuleOptions) => resolveDatabaseOptions(options, { env: {} });
const replicaOf = (options: DatabaseModuleOptions) => resolve(options).replication!.replicas[0]!;
const problemsOf = (options: DatabaseModuleOptions): string[] => {
  try {
    resolve(options);
  } catch (error) {
    if (!(error instanceof DatabaseConfigError)) throw error;
    expect(error.message).not.toContain('hunter2');
    return error.problems.map(({ setting, message }) => `${setting}: ${message}`);
  }
  return [];
};

describe('The primary of a replication', () => {
  it('is replication.master, given by a URL or by separate options', () => {
    const slaves = [{ host: 'replica.internal' }];
    const server = { host: 'primary.internal', port: 6432, username: 'app', database: 'shop' };
    for (const master of [{ url: PRIMARY }, { ...server, password: 'hunter2' }]) {
      const resolved = resolve({ replication: { master, slaves } });
      expect(resolved.server).toEqual(server);
      expect(resolved.password).toMatchObject({ reveal: expect.any(Function) });
    }
  });

  it('is the url of the options or of the environment when there is no master', () => {
    const replication = { slaves: [{ host: 'replica.internal' }] };
    expect(resolve({ url: PRIMARY, replication }).server.host).toBe('primary.internal');
    const environment = readEnvironment({ DB_URL: PRIMARY });
    expect(resolve({ ...environment, replication }).server.host).toBe('primary.internal');
  });

  it('may be given twice, but not with different values', () => {
    const slaves = [{ host: 'replica.internal' }];
    expect(problemsOf({ url: PRIMARY, replication: { master: { url: PRIMARY }, slaves } })).toEqual([]);
    const environment = readEnvironment({ DB_URL: PRIMARY });
    expect(
      problemsOf({
        ...environment,
        replication: { master: { url: 'postgres://app@other.internal/shop' }, slaves },
      }),
    ).toContain('replication.master.url: contradicts DB_URL; give one of them');
    expect(problemsOf({ url: PRIMARY, replication: { master: { host: 'other.internal' }, slaves } })).toEqual(
      ['replication.master.host: contradicts url; give one of them'],
    );
  });

  it('is named as in the options in its problems', () => {
    const slaves = [{ host: 'replica.internal' }];
    expect(problemsOf({ replication: { slaves } })).toEqual([expect.stringMatching(/^DB_URL: /)]);
    expect(problemsOf({ replication: { master: { url: 'mysql://x' }, slaves } })).toEqual([
      expect.stringMatching(/^replication\.master\.url: it starts with mysql/),
    ]);
    expect(problemsOf({ replication: { master: { port: 0 }, slaves } })).toEqual([
      expect.stringMatching(/^replication\.master\.port: 0 is not/),
    ]);
  });
});

describe('A replica', () => {
  it('has the user, password and database of the primary by default', () => {
    const { server, password } = replicaOf({
      url: PRIMARY,
      replication: { slaves: [{ host: 'replica.internal' }] },
    });
    expect(server).toEqual({ host: 'replica.internal', port: 5432, username: 'app', database: 'shop' });
    expect((password as { reveal(): string }).reveal()).toBe('hunter2');
  });

  it('does not have the password of the primary for another user', () => {
    const { server, password } = replicaOf({
      url: PRIMARY,
      replication: { slaves: [{ url: 'postgres://reader@replica.internal/other' }] },
    });
    expect(server).toMatchObject({ username: 'reader', database: 'other' });
    expect(password).toBeUndefined();
  });

  it('has its own TLS settings, or those of the top level', () => {
    const slaves = [
      { host: 'one.internal' },
      { host: 'two.internal', ssl: true },
      { host: 'x.org', ssl: false },
    ];
    const modes = ({
      replication,
    }: {
      replication: { replicas: readonly { ssl: { mode: string } }[] } | undefined;
    }) => replication!.replicas.map(({ ssl }) => ssl.mode);
    expect(modes(resolve({ url: PRIMARY, replication: { slaves } }))).toEqual([
      'disable',
      'require',
      'disable',
    ]);
    expect(modes(resolve({ url: PRIMARY, ssl: { mode: 'verify-full' }, replication: { slaves } }))).toEqual([
      'verify-full',
      'require',
      'disable',
    ]);
  });

  it('does not have the requirements of the URL of the primary', () => {
    const replication = { slaves: [{ host: 'replica.internal' }] };
    const options = { url: `${PRIMARY}?target_session_attrs=read-write`, replication };
    expect(resolve(options).serverKind).toBe('read-write');
    expect(replicaOf(options).serverKind).toBeUndefined();
  });

  it('is named with its index in its problems', () => {
    const slaves = [{ host: 'replica.internal' }, { url: 'postgres://app:hunter2@replica:x/shop' }];
    expect(problemsOf({ url: PRIMARY, replication: { slaves } })).toEqual([
      expect.stringMatching(/^replication\.slaves\.1\.url: the port is not a whole number/),
    ]);
    expect(
      problemsOf({
        url: PRIMARY,
        replication: { slaves: [{ host: 'r', ssl: { mode: 'prefer' as never } }] },
      }),
    ).toEqual([expect.stringMatching(/^replication\.slaves\.0\.ssl\.mode: "prefer" is not one of/)]);
    expect(
      problemsOf({
        url: PRIMARY,
        replication: { slaves: [{ host: 'r', ssl: { sevrername: 'x' } as never }] },
      }),
    ).toEqual([
      'replication.slaves.0.ssl.sevrername: is not a setting; did you mean replication.slaves.0.ssl.servername?',
    ]);
  });

  it('hides its password from inspect and JSON', () => {
    const resolved = resolve({
      url: PRIMARY,
      replication: { slaves: [{ host: 'replica.internal', username: 'reader', password: 'swordfish' }] },
    });
    expect(`${inspect(resolved, { depth: 12 })}${JSON.stringify(resolved)}`).not.toMatch(/swordfish|hunter2/);
  });
});

it('replication: false means no replication', () => {
  expect(resolve({ url: PRIMARY, replication: false as never }).replication).toBeUndefined();
});

it('baseDirectory, which TypeORM sets when it reads options from a file, is a known option', () => {
  expect(resolve({ url: 'postgres://me@localhost/app', ...{ baseDirectory: '/app' } }).warnings).toEqual([]);
});
