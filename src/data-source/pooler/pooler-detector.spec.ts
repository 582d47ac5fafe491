import { describe, expect, it } from '@jest/globals';
import { resolveDatabaseOptions } from '../../config/resolve.js';
import type { DatabaseModuleOptions } from '../../database.options.js';
import { PoolerDetector } from './pooler-detector.js';
import type { ServerSettings } from '../startup/self-check.js';

const plan = (options: DatabaseModuleOptions = {}) =>
  new PoolerDetector(
    resolveDatabaseOptions(
      { url: 'postgres://me@localhost/app', ...options },
      { env: { NODE_ENV: 'production' } },
    ),
  );
const refusal = (name: string) => new Error(`unsupported startup parameter: ${name}`);
const from = (source: string): ServerSettings => ({
  statement_timeout: { value: '30s', raw: '30000', source },
});

describe('the plan for a pooler', () => {
  it('without one sends all settings, keeps no limit itself and shares no session', () => {
    const without = plan({ session: { jit: false } });
    expect(without.connectOptions()).toMatchObject({ statement_timeout: 30_000, session: { jit: 'off' } });
    expect(without).toMatchObject({
      mode: 'none',
      isConfigured: false,
      isSessionShared: false,
      namedStatements: true,
      statementLimitMs: 0,
      idleInTransactionMs: 0,
    });
  });

  it('after a refusal sends none of them and keeps the limits', () => {
    const refused = plan({ session: { jit: false } });
    expect(refused.observeRefusal(refusal('statement_timeout'))).toBe(true);
    expect(Object.keys(refused.connectOptions())).toEqual(['poolerTerms']);
    expect(refused).toMatchObject({
      mode: 'transaction',
      isSessionShared: true,
      namedStatements: false,
      statementLimitMs: 30_000,
      idleInTransactionMs: 60_000,
    });
  });

  it('does not learn from other failures, nor from a refusal of what it never sends', () => {
    const without = plan();
    expect(without.observeRefusal(new Error('password authentication failed for user "app"'))).toBe(false);
    expect(without.observeRefusal(refusal('replication'))).toBe(false);
    expect(without.observeRefusal(undefined)).toBe(false);
    expect(without.mode).toBe('none');
  });

  it('takes a refusal for the truth also when others were on their way, but not for ever', () => {
    const refused = plan({ pool: { size: 2, maxOverflow: 1 } });
    const answers = Array.from({ length: 6 }, () => refused.observeRefusal(refusal('statement_timeout')));
    expect(answers).toEqual([true, true, true, true, false, false]);
  });

  it('gives up the options of the URL last, and only when they are refused', () => {
    const refused = plan({ url: 'postgres://me@localhost/app?options=-c%20geqo%3Doff' });
    refused.observeRefusal(refusal('statement_timeout'));
    expect(refused.connectOptions()).toMatchObject({ options: '-c geqo=off' });
    expect(refused.isUrlOptionsOmitted).toBe(false);
    expect(refused.observeRefusal(refusal('options'))).toBe(true);
    expect(refused.connectOptions()).not.toHaveProperty('options');
    expect(refused.isUrlOptionsOmitted).toBe(true);
  });

  it("knows a refusal of session settings by the parameter that holds them, and RDS Proxy's words", () => {
    const ours = plan({ session: { jit: false } });
    expect(ours.observeRefusal(refusal('options'))).toBe(true);
    expect(ours.connectOptions()).not.toHaveProperty('session');
    expect(
      plan({ session: { jit: false } }).observeRefusal(
        new Error("Feature not supported: RDS Proxy currently doesn't support command-line options."),
      ),
    ).toBe(true);
    expect(
      plan({ session: { 'app.tenant': 'mine' } }).observeRefusal(
        new Error('unsupported startup parameter in options: app.tenant'),
      ),
    ).toBe(true);
  });

  it("knows Neon's pooler by its name, which keeps prepared statements", () => {
    const neon = plan({ url: 'postgres://me@ep-a-b-1-pooler.eu-central-1.aws.neon.tech/app' });
    expect(neon).toMatchObject({ mode: 'transaction', isSessionShared: true, namedStatements: true });
    expect(neon.connectOptions()).not.toHaveProperty('statement_timeout');
    expect(plan({ url: 'postgres://me@ep-a-b-1.eu-central-1.aws.neon.tech/app' }).mode).toBe('none');
    expect(plan({ url: 'postgres://me@my-pooler.example.com/app' }).mode).toBe('none');
  });

  it('finds a pooler that ignores settings by the process id, and takes a proxy that passes them on for none', () => {
    const ignored = plan();
    ignored.observeServer({ announcedPid: 1, pid: 2, settings: from('default') });
    expect(ignored.mode).toBe('transaction');
    const passed = plan();
    passed.observeServer({ announcedPid: 1, pid: 2, settings: from('client') });
    expect(passed.mode).toBe('none');
    const same = plan();
    same.observeServer({ announcedPid: 2, pid: 2, settings: from('default') });
    expect(same.mode).toBe('none');
    const unknown = plan();
    unknown.observeServer({ announcedPid: undefined, pid: 2, settings: {} });
    expect(unknown.mode).toBe('none');
  });

  it.each(['transaction', 'statement'] as const)('does as it is told: %s', (pooler) => {
    const told = plan({ pooler });
    expect(told).toMatchObject({
      mode: pooler,
      isConfigured: true,
      isSessionShared: true,
      statementLimitMs: 30_000,
    });
    expect(told.connectOptions()).not.toHaveProperty('statement_timeout');
    told.observeServer({ announcedPid: 2, pid: 2, settings: from('client') });
    expect(told.mode).toBe(pooler);
  });

  it('does as it is told: none, whatever is refused', () => {
    const told = plan({ pooler: 'none' });
    expect(told.observeRefusal(refusal('statement_timeout'))).toBe(false);
    told.observeServer({ announcedPid: 1, pid: 2, settings: from('default') });
    expect(told).toMatchObject({ mode: 'none', isSessionShared: false });
    expect(told.connectOptions()).toMatchObject({ statement_timeout: 30_000 });
  });

  it('does as it is told: session, by one statement after the login', async () => {
    const told = plan({ pooler: 'session', session: { 'app.tenant': 'mine' }, timeouts: { lockMs: 5_000 } });
    expect(told).toMatchObject({ isSessionShared: false, namedStatements: true, statementLimitMs: 0 });
    expect(told.connectOptions()).toMatchObject({ statementLimitMs: 35_000 });
    const short = plan({ pooler: 'session', timeouts: { statementMs: 3_000 } });
    expect(short.connectOptions()).toMatchObject({ statementLimitMs: 3_750 });
    const sent: unknown[] = [];
    const query = (...statement: unknown[]) => Promise.resolve(void sent.push(statement));
    await told.applySessionSettings({ query } as never);
    expect(sent).toEqual([
      [
        'SELECT set_config($1, $2, false), set_config($3, $4, false), set_config($5, $6, false), set_config($7, $8, false)',
        [
          ...['statement_timeout', '30000', 'lock_timeout', '5000'],
          ...['idle_in_transaction_session_timeout', '60000', 'app.tenant', 'mine'],
        ],
      ],
    ]);
    await plan({ pooler: 'transaction' }).applySessionSettings({ query } as never);
    await plan({
      pooler: 'session',
      timeouts: { statementMs: 0, idleInTransactionMs: 0 },
    }).applySessionSettings({
      query,
    } as never);
    expect(sent).toHaveLength(1);
  });
});
