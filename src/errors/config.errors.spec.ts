import { inspect } from 'node:util';
import { expect, it } from '@jest/globals';
import { DatabaseConfigError } from './config.errors.js';

it('DatabaseConfigError names every problem in its message, and prints each once', () => {
  const problems = [
    { setting: 'DB_URL', message: 'is not set' },
    { setting: 'pool.size', message: '0 is not allowed' },
  ];
  const error = new DatabaseConfigError(problems);
  expect(error.message).toContain('DB_URL: is not set');
  expect(error.message).toContain('pool.size: 0 is not allowed');
  expect(error.problems).toEqual(problems);
  expect(inspect(error).match(/is not set/g)).toHaveLength(1);
});
