import { describe, expect, it } from '@jest/globals';
import { ORIGINS, Origins, originsIn } from './origins.js';
import { Secret } from '../secrets/secret.js';

describe('Origins', () => {
  const environment = {
    values: {
      'pool.size': { variable: 'DB_POOL_SIZE', value: 7 },
      url: { variable: 'DB_URL', value: new Secret('a') },
    },
    warnings: [],
  };

  it('are copied by a spread of the options, and are not among their keys', () => {
    const options = { ...Object.freeze({ [ORIGINS]: environment }), autoLoadEntities: true };
    expect(originsIn(options)).toBe(environment);
    expect(Object.keys(options)).toEqual(['autoLoadEntities']);
  });

  it('name the variable as long as the options hold the value of the environment', () => {
    const origins = new Origins(environment);
    expect(origins.nameOf('pool.size', 7)).toBe('DB_POOL_SIZE');
    expect(origins.nameOf('url', new Secret('a'))).toBe('DB_URL');
  });

  it('name the option when the code has set another value', () => {
    const origins = new Origins(environment);
    expect(origins.nameOf('pool.size', 8)).toBe('pool.size');
    expect(origins.nameOf('url', 'a')).toBe('url');
  });

  it('name the first layer that has a value', () => {
    const origins = new Origins(environment);
    const layers = (own: number | undefined) =>
      [
        ['options', own],
        ['profile', 2],
        ['default', 5],
      ] as const;
    expect(origins.choose('pool.size', layers(7))).toBe(7);
    expect(origins.choose('pool.maxOverflow', layers(undefined))).toBe(2);
    expect(origins.choose('startupOptions', [['url', undefined]])).toBeUndefined();
    expect(origins.chosen).toEqual({
      'pool.size': 'environment DB_POOL_SIZE',
      'pool.maxOverflow': 'profile',
    });
  });
});
