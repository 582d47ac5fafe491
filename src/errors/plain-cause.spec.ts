import { inspect } from 'node:util';
import { expect, it } from '@jest/globals';
import { plainCause } from './plain-cause.js';

it('plainCause copies name, message and code of an error, and none of its further properties', () => {
  const error = Object.assign(new TypeError('Invalid URL'), {
    code: 'ERR_INVALID_URL',
    input: 'postgres://a:b@c',
  });
  const copy = plainCause(error);
  expect(copy).toMatchObject({ name: 'TypeError', message: 'Invalid URL', code: 'ERR_INVALID_URL' });
  expect(inspect(copy)).not.toContain('a:b');
  expect(plainCause('just a string').message).toBe('just a string');
});
