import { describe, expect, it } from '@jest/globals';
import { PREPARED_STATEMENTS } from '../../connection/statements/prepared-statements.js';
import { resolveLimits } from '../../pool/pool.options.js';
import { DEFAULTS } from './defaults.js';
import { SETTING_ROWS } from './settings.js';
import { VARIABLES } from './variables.js';

describe('A row of the table of settings', () => {
  it.each(SETTING_ROWS.map((row) => [row.path, row] as const))('is complete and consistent: %s', (_, row) => {
    const defaults = [row.default, ...Object.values(row.profiles ?? {})];
    for (const value of defaults)
      if (value !== undefined && value !== Infinity) expect(row.type.problemOf(value)).toBeUndefined();
    expect(row.default !== undefined || row.defaultText !== undefined || row.path === 'url').toBe(true);
    expect(row.variable === undefined).toBe(row.example === undefined);
    expect(row.text).toMatch(/^[`A-Z].*\.$/);
    expect(row.path.endsWith('Ms')).toBe(
      'unit' in row.type && row.type.unit === 'milliseconds' && row.path !== 'retryDelay',
    );
  });

  it('that is essential has a variable', () => {
    const essential = SETTING_ROWS.filter((row) => row.essential);
    expect(essential.map(({ variable }) => variable)).not.toContain(undefined);
  });
});

describe('The variables', () => {
  it('have different names', () => {
    const names = VARIABLES.flatMap(({ name, alias }) => (alias === undefined ? [name] : [name, alias]));
    expect(names).toHaveLength(new Set(names).size);
  });
});

describe('The defaults', () => {
  it('are those of the pool alone', () => {
    const { size, max, ...limits } = resolveLimits({});
    const { size: defaultSize, maxOverflow, ...others } = DEFAULTS.pool;
    expect([size, max]).toEqual([defaultSize, defaultSize + maxOverflow]);
    const off = Object.fromEntries(
      Object.entries(others).map(([key, value]) => [
        key,
        key.endsWith('Ms') && value === 0 ? Infinity : value,
      ]),
    );
    expect(limits).toMatchObject(off);
    expect(limits.connectTimeoutMs).toBe(DEFAULTS.timeouts.connectMs);
    expect(PREPARED_STATEMENTS).toEqual(DEFAULTS.preparedStatements);
  });
});
