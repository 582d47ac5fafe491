import { describe, expect, it } from '@jest/globals';
import type { DatabaseConfigError } from '../errors/config.errors.js';
import { resolveLimits, withoutSecrets } from './pool.options.js';

const defaults = {
  size: 5,
  max: 15,
  min: 0,
  minIdle: 0,
  acquireTimeoutMs: 30_000,
  maxWaiting: Infinity,
  connectTimeoutMs: 10_000,
  maxLifetimeMs: 1_800_000,
  idleTimeoutMs: Infinity,
  overflowIdleMs: 10_000,
  keepaliveMs: Infinity,
  prePing: true,
  validateAfterIdleMs: 500,
  validationTimeoutMs: 2_000,
  reset: 'smart',
  resetTimeoutMs: 5_000,
  leakThresholdMs: Infinity,
  reclaimAfterMs: Infinity,
  maxUses: Infinity,
  allowExitOnIdle: false,
};

/** The problems that the error names. */
function refused(options: object): string[] {
  try {
    resolveLimits(options);
    return [];
  } catch (error) {
    return (error as DatabaseConfigError).problems.map(({ setting, message }) => `${setting} ${message}`);
  }
}

describe('resolveLimits()', () => {
  it('applies the defaults', () => {
    expect(resolveLimits({})).toEqual(defaults);
  });

  it('keeps the values that are set', () => {
    const set = {
      size: 3,
      maxOverflow: 4,
      min: 1,
      minIdle: 2,
      acquireTimeoutMs: 1,
      maxWaiting: 0,
      connectTimeoutMs: 2,
      maxLifetimeMs: 3,
      idleTimeoutMillis: 4,
      overflowIdleMs: 5,
      keepaliveMs: 6,
      prePing: false,
      validateAfterIdleMs: 0,
      validationTimeoutMs: 1,
      reset: 'none' as const,
      resetTimeoutMs: 1,
      leakThresholdMs: 7,
      reclaimAfterMs: 8,
      maxUses: 9,
      allowExitOnIdle: true,
    };
    const { maxOverflow: _, idleTimeoutMillis: idleTimeoutMs, ...same } = set;
    expect(resolveLimits(set)).toEqual({ ...same, max: 7, idleTimeoutMs });
  });

  it.each([
    'acquireTimeoutMs',
    'connectTimeoutMs',
    'maxLifetimeMs',
    'overflowIdleMs',
    'keepaliveMs',
    'leakThresholdMs',
    'reclaimAfterMs',
    'maxUses',
  ] as const)('reads 0 of %s as no limit', (name) => {
    expect(resolveLimits({ [name]: 0 })[name]).toBe(Infinity);
  });

  it.each([
    [{ max: 4 }, { size: 4, max: 4, idleTimeoutMs: 10_000 }],
    [{ poolSize: 4 }, { size: 4, max: 4, idleTimeoutMs: 10_000 }],
    [
      { max: 4, poolSize: 3 },
      { size: 4, max: 4 },
    ],
    [
      { max: 10, size: 4 },
      { size: 4, max: 10 },
    ],
    [
      { max: 3, size: 4 },
      { size: 4, max: 4 },
    ],
    [
      { max: 4, maxOverflow: 2 },
      { size: 4, max: 6 },
    ],
    [{ max: 0 }, { size: 5, max: 15, idleTimeoutMs: Infinity }],
    // As numbers in environment variables are.
    [{ max: '10' as never }, { size: 10, max: 10 }],
    [{ min: 2 }, { min: 2 }],
    [{ idleTimeoutMillis: 700 }, { idleTimeoutMs: 700 }],
    [{ max: 4, idleTimeoutMillis: 0 }, { idleTimeoutMs: Infinity }],
    [{ max: 4, idleTimeoutMillis: null }, { idleTimeoutMs: Infinity }],
    [{ connectionTimeoutMillis: 700 }, { acquireTimeoutMs: 700, connectTimeoutMs: 700 }],
    [{ connectionTimeoutMillis: 0 }, { acquireTimeoutMs: Infinity, connectTimeoutMs: 10_000 }],
    [
      { connectionTimeoutMillis: 700, acquireTimeoutMs: 5, connectTimeoutMs: 6 },
      { acquireTimeoutMs: 5, connectTimeoutMs: 6 },
    ],
    [{ maxLifetimeSeconds: 60 }, { maxLifetimeMs: 60_000 }],
    [{ maxLifetimeSeconds: 0 }, { maxLifetimeMs: Infinity }],
    [{ maxLifetimeSeconds: 60, maxLifetimeMs: 5 }, { maxLifetimeMs: 5 }],
    [{ maxUses: 7 }, { maxUses: 7 }],
  ])('understands the names of pg-pool: %j', (options, expected) => {
    expect(resolveLimits(options)).toMatchObject(expected);
  });

  it('limits minIdle to size', () => {
    expect(resolveLimits({ size: 2, minIdle: 5 }).minIdle).toBe(2);
  });

  it('reads undefined and null as not given', () => {
    const nothing = Object.fromEntries(Object.keys(defaults).map((name) => [name, undefined]));
    expect(resolveLimits(nothing)).toEqual(defaults);
    expect(resolveLimits({ acquireTimeoutMs: null as never })).toEqual(defaults);
  });

  it('names every invalid option in one error', () => {
    expect(
      refused({ size: -1, maxOverflow: Number.NaN, min: 1.5, validationTimeoutMs: 0, reset: 'hard' }),
    ).toEqual([
      'size is -1; it must be at least 0',
      'maxOverflow is NaN; it must be at least 0',
      'reset is hard; it must be one of smart, rollback, discard, none',
      'min is 1.5; it must be a whole number',
      'validationTimeoutMs is 0; it must be at least 1',
    ]);
    expect(refused({ resetTimeoutMs: 0, connectionTimeoutMillis: 'soon' })).toEqual([
      'connectionTimeoutMillis is soon; it must be at least 0',
      'resetTimeoutMs is 0; it must be at least 1',
    ]);
    expect(refused({ size: 0, maxOverflow: 0 })).toEqual([
      'size and maxOverflow are both 0; no connection could be opened',
    ]);
  });

  it.each([-2, Number.NaN, 2.5, 'many'])('refuses a max of %s', (max) => {
    expect(refused({ max })).toContainEqual(expect.stringMatching(new RegExp(`^max is ${max};`)));
  });

  it.each([{ size: 1, maxOverflow: 0 }, { size: 0, maxOverflow: 1 }, { max: 1 }])(
    'allows a single connection: %j',
    (options) => {
      expect(resolveLimits(options).max).toBe(1);
    },
  );

  it('allows Infinity where there may be no limit', () => {
    expect(refused({ maxWaiting: Infinity, maxUses: Infinity, acquireTimeoutMs: Infinity })).toEqual([]);
  });
});

describe('withoutSecrets()', () => {
  it('returns a copy whose secrets are readable but not enumerable', () => {
    const options = { password: 'p', connectionString: 'c', ssl: {}, connection: {}, stream: {}, max: 3 };
    const shown = withoutSecrets(options);
    expect(Object.keys(shown)).toEqual(['max']);
    expect(shown).toMatchObject(options);
    expect(Object.keys(options)).toHaveLength(6);
    expect(Object.getOwnPropertyNames(withoutSecrets({ max: 3 }))).toEqual(['max']);
  });
});
