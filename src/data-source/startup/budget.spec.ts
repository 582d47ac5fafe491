import { describe, expect, it } from '@jest/globals';
import { DEFAULTS } from '../../config/settings/defaults.js';
import { checkBudget } from './budget.js';
import type { ConnectionBudget } from './budget.js';

const budget = (changes: Partial<ConnectionBudget> = {}): ConnectionBudget => ({
  maxConnections: 100,
  reserved: 3,
  roleLimit: -1,
  databaseLimit: -1,
  superuser: false,
  others: 7,
  othersOfRole: 2,
  othersOnDatabase: 4,
  ...changes,
});
/** 15 connections each. */
const app = (instances: number) => ({ pool: DEFAULTS.pool, instances });

describe('the connection budget', () => {
  it('does not warn when all instances fit, to the last connection', () => {
    expect(checkBudget(app(6), budget())).toEqual([]);
  });

  it('warns with the numbers and the settings when they do not fit', () => {
    expect(checkBudget(app(6), budget({ others: 8 }))).toEqual([
      'This app may open 90 connections: (pool.size 5 + pool.maxOverflow 10) × 6 instance(s); the server has 89 for it ' +
        '(max_connections 100, 3 of them reserved; 8 in use by others). Lower DB_POOL_SIZE, DB_MAX_OVERFLOW or ' +
        'DB_INSTANCES (if fewer run), or raise max_connections, or put a pooler in between.',
    ]);
  });

  it('compares with the limits of the role and of the database, and with their other clients', () => {
    expect(checkBudget(app(1), budget({ roleLimit: 17 }))).toEqual([]);
    expect(checkBudget(app(1), budget({ roleLimit: 16 }))).toEqual([
      expect.stringContaining('has 14 for it (CONNECTION LIMIT 16 of the role; 2 in use by others)'),
    ]);
    expect(checkBudget(app(1), budget({ databaseLimit: 19 }))).toEqual([]);
    expect(checkBudget(app(1), budget({ databaseLimit: 18 }))).toEqual([
      expect.stringContaining('raise it by ALTER DATABASE'),
    ]);
  });

  it('compares a superuser with max_connections alone', () => {
    const limits = budget({ superuser: true, roleLimit: 1, databaseLimit: 1, reserved: 0 });
    expect(checkBudget(app(1), limits)).toEqual([]);
    expect(checkBudget(app(7), limits)).toEqual([expect.not.stringContaining('reserved')]);
  });

  it('never reports fewer than no connections', () => {
    expect(checkBudget(app(1), budget({ others: 120 }))).toEqual([expect.stringContaining('has 0 for it')]);
  });
});
