import { describe, expect, it } from '@jest/globals';
import { checkSettings, describeClientEnforced, describeUnenforced, wantedSettings } from './self-check.js';
import type { PoolerConstraints, ServerSettings } from './self-check.js';

const NO_POOLER: PoolerConstraints = {
  mode: 'none',
  isSessionShared: false,
  statementLimitMs: 0,
  idleInTransactionMs: 0,
};
const POOLER: PoolerConstraints = {
  mode: 'transaction',
  isSessionShared: true,
  statementLimitMs: 30_000,
  idleInTransactionMs: 60_000,
};
const configured = (session: Record<string, string> = {}, lockMs = 0) => ({
  timeouts: { connectMs: 1, statementMs: 30_000, idleInTransactionMs: 60_000, lockMs, shutdownMs: 1 },
  session,
});
const has = (value: string | null, raw = value, source: string | null = 'default') => ({
  value,
  raw,
  source,
});
const SET: ServerSettings = {
  statement_timeout: has('30s', '30000', 'client'),
  idle_in_transaction_session_timeout: has('1min', '60000', 'client'),
};
const UNSET: ServerSettings = {
  statement_timeout: has('0'),
  idle_in_transaction_session_timeout: has('0'),
  lock_timeout: has('0'),
};

describe('the self-check', () => {
  it('expects the limits that are set, and the settings of the session', () => {
    expect(wantedSettings(configured({ jit: 'off' }, 5_000))).toEqual({
      statement_timeout: '30000',
      lock_timeout: '5000',
      idle_in_transaction_session_timeout: '60000',
      jit: 'off',
    });
  });

  it('recognises what the server enforces, in any unit that it reports', () => {
    const checks = checkSettings(configured(), SET, NO_POOLER);
    expect(checks.map(({ name, enforcedBy }) => [name, enforcedBy])).toEqual([
      ['statement_timeout', 'server'],
      ['idle_in_transaction_session_timeout', 'server'],
    ]);
    expect(describeClientEnforced(checks)).toBe('');
    expect(describeUnenforced(checks, NO_POOLER)).toEqual([]);
  });

  it('lists what the client enforces behind a pooler', () => {
    const checks = checkSettings(configured(), UNSET, POOLER);
    expect(describeClientEnforced(checks)).toBe(
      'statement_timeout 30 s by the client, idle_in_transaction_session_timeout 60 s by the client',
    );
    expect(describeUnenforced(checks, POOLER)).toEqual([]);
  });

  it('names what is not in force, with a hint, and no value of the app', () => {
    const checks = checkSettings(configured({ 'app.tenant': 'secret' }, 1_500), UNSET, POOLER);
    const missing = describeUnenforced(checks, POOLER);
    expect(missing).toHaveLength(2);
    expect(missing[0]).toMatch(/^timeouts\.lockMs \(DB_LOCK_TIMEOUT\) is not in force; the server has 0: /);
    expect(missing[0]).toContain(`ALTER ROLE … SET lock_timeout = '1500ms'`);
    expect(missing[1]).toMatch(/^session\.app\.tenant is not in force: /);
    expect(missing.join()).not.toContain('secret');
  });

  it('counts a setting of the role as in force, behind a pooler too', () => {
    const found = { ...UNSET, lock_timeout: has('5s', '5000', 'user') };
    expect(describeUnenforced(checkSettings(configured({}, 5_000), found, POOLER), POOLER)).toEqual([]);
  });

  it('warns of a limit that a hook has changed without a pooler', () => {
    const found = { ...SET, statement_timeout: has('1s', '1000', 'session') };
    const missing = describeUnenforced(checkSettings(configured(), found, NO_POOLER), NO_POOLER);
    expect(missing).toEqual([expect.stringContaining('the server has 1s')]);
  });

  it('counts a setting of the startup packet as in force, in whatever notation the server reports it', () => {
    const settings = configured({ jit: 'true', work_mem: '8192' });
    const found = { ...SET, jit: has('on', 'on', 'client'), work_mem: has('8MB', '8192', 'client') };
    expect(describeUnenforced(checkSettings(settings, found, NO_POOLER), NO_POOLER)).toEqual([]);
    // Behind a pooler, another client may have set it.
    const ofAnotherClient = checkSettings(
      configured({ jit: 'true' }),
      { ...UNSET, jit: has('on', 'on', 'session') },
      POOLER,
    );
    expect(describeUnenforced(ofAnotherClient, POOLER)).toHaveLength(1);
  });

  it('counts a setting that was set after the login as in force in session mode', () => {
    const sessionMode: PoolerConstraints = { ...NO_POOLER, mode: 'session' };
    const found = { ...SET, jit: has('on', 'on', 'session') };
    expect(checkSettings(configured({ jit: 'true' }), found, sessionMode).at(-1)?.enforcedBy).toBe('server');
  });

  it('reports a setting that the server does not have', () => {
    const checks = checkSettings(configured({ 'app.tenant': 'x' }), SET, NO_POOLER);
    expect(checks.at(-1)).toStrictEqual({
      name: 'app.tenant',
      wanted: 'x',
      actual: undefined,
      enforcedBy: undefined,
    });
  });

  it('formats a limit in milliseconds if it is not a whole number of seconds', () => {
    const settings = { ...configured(), timeouts: { ...configured().timeouts, statementMs: 1_500 } };
    expect(describeClientEnforced(checkSettings(settings, UNSET, POOLER))).toContain(
      'statement_timeout 1500 ms',
    );
  });
});
