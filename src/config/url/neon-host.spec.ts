import { describe, expect, it } from '@jest/globals';
import { neonHost } from './neon-host.js';

describe('A host of Neon', () => {
  it.each([
    ['ep-cool-name-123456.eu-central-1.aws.neon.tech', 'ep-cool-name-123456', false],
    ['ep-cool-name-123456-pooler.eu-central-1.aws.neon.tech', 'ep-cool-name-123456', true],
    ['EP-Cool-1-POOLER.c-2.us-east-1.aws.neon.tech.', 'EP-Cool-1', true],
  ])('%s has endpoint and direct host', (host, endpoint, isPooled) => {
    const direct = host.replace(/-pooler/i, '').replace(/\.$/, '');
    expect(neonHost(host)).toEqual({ endpoint, isPooled, direct });
  });

  it.each([
    'localhost',
    'neon.tech',
    'neon.tech.example.com',
    'db-pooler.example.com',
    '10.0.0.1',
    '/var/run',
  ])('is not %s', (host) => {
    expect(neonHost(host)).toBeUndefined();
  });
});
