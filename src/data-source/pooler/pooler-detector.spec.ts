import { describe, expect, it } from '@jest/globals';
import { readEnvironment } from '../../config/environment/environment.js';
import { resolveDatabaseOptions } from '../../config/resolve.js';
import type { DatabaseModuleOptions } from '../../database.options.js';
import { PoolerDetector } from './pooler-detector.js';
import type { ServerSettings } from '../startup/self-check.js';

const detector = (options: DatabaseModuleOptions = {}) =>
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

describe('the detector of a pooler', () => {
  it('without a pooler sends all settings, enforces no limit and shares no session', () => {
    const without = detector({ session: { jit: false } });
    expect(without.connectOptions()).toMatchObject({ statement_timeout: 30_000, session: { jit: 'off' } });
    expect(without).toMatchObject({
      mode: 'none',
      isConfigured: false,
      isSessionShared: false,
      allowsNamedStatements: true,
      statementLimitMs: 0,
      idleInTransactionMs: 0,
    });
  });

  it('after a refusal sends no settings and enforces the limits', () => {
    const refused = detector({ session: { jit: false } });
    expect(refused.observeRefusal(refusal('statement_timeout'))).toBe(true);
    expect(Object.keys(refused.connectOptions())).toEqual(['poolerTerms']);
    expect(refused).toMatchObject({
      mode: 'transaction',
      isSessionShared: true,
      allowsNamedStatements: false,
      statementLimitMs: 30_000,
      idleInTransactionMs: 60_000,
    });
  });

  it('allows prepared statements behind a pooler that shares sessions only when the app or its environment sets them', () => {
    const allowed = (options: DatabaseModuleOptions) => {
      const { allowsNamedStatements, isPreparingSuspended } = detector({ pooler: 'transaction', ...options });
      return [allowsNamedStatements, isPreparingSuspended];
    };
    expect(allowed({})).toEqual([false, true]);
    expect(allowed({ preparedStatements: true })).toEqual([true, false]);
    expect(allowed({ preparedStatements: { max: 100 } })).toEqual([true, false]);
    expect(allowed({ preparedStatements: {} })).toEqual([false, true]);
    expect(allowed({ preparedStatements: false })).toEqual([false, false]);
    expect(allowed({ pooler: 'session' })).toEqual([true, false]);
    expect(allowed(readEnvironment({ DB_PREPARED_STATEMENTS: 'on' }))).toEqual([true, false]);
    expect(allowed(readEnvironment({ DB_PREPARED_STATEMENTS: 'off' }))).toEqual([false, false]);
  });

  it('ignores other failures, and refusals of what it never sends', () => {
    const without = detector();
    expect(without.observeRefusal(new Error('password authentication failed for user "app"'))).toBe(false);
    expect(without.observeRefusal(refusal('replication'))).toBe(false);
    expect(without.observeRefusal(undefined)).toBe(false);
    expect(without.mode).toBe('none');
  });

  it('accepts the same refusal of connects that began before it, but not without end', () => {
    const refused = detector({ pool: { size: 2, maxOverflow: 1 } });
    const answers = Array.from({ length: 6 }, () => refused.observeRefusal(refusal('statement_timeout')));
    expect(answers).toEqual([true, true, true, true, false, false]);
  });

  it('omits the options of the URL last, and only when they are refused', () => {
    const refused = detector({ url: 'postgres://me@localhost/app?options=-c%20geqo%3Doff' });
    refused.observeRefusal(refusal('statement_timeout'));
    expect(refused.connectOptions()).toMatchObject({ options: '-c geqo=off' });
    expect(refused.isUrlOptionsOmitted).toBe(false);
    expect(refused.observeRefusal(refusal('options'))).toBe(true);
    expect(refused.connectOptions()).not.toHaveProperty('options');
    expect(refused.isUrlOptionsOmitted).toBe(true);
  });

  it("recognises a refusal of session settings by the parameter that carries them, and RDS Proxy's message", () => {
    const refused = detector({ session: { jit: false } });
    expect(refused.observeRefusal(refusal('options'))).toBe(true);
    expect(refused.connectOptions()).not.toHaveProperty('session');
    expect(
      detector({ session: { jit: false } }).observeRefusal(
        new Error("Feature not supported: RDS Proxy currently doesn't support command-line options."),
      ),
    ).toBe(true);
    expect(
      detector({ session: { 'app.tenant': 'mine' } }).observeRefusal(
        new Error('unsupported startup parameter in options: app.tenant'),
      ),
    ).toBe(true);
  });

  it("recognises Neon's pooler by its host name, and that it keeps prepared statements", () => {
    const neon = detector({ url: 'postgres://me@ep-a-b-1-pooler.eu-central-1.aws.neon.tech/app' });
    expect(neon).toMatchObject({ mode: 'transaction', isSessionShared: true, allowsNamedStatements: true });
    expect(neon.connectOptions()).not.toHaveProperty('statement_timeout');
    expect(detector({ url: 'postgres://me@ep-a-b-1.eu-central-1.aws.neon.tech/app' }).mode).toBe('none');
    expect(detector({ url: 'postgres://me@my-pooler.example.com/app' }).mode).toBe('none');
  });

  it('detects a pooler that ignores settings by the process id, and no pooler in a proxy that passes them on', () => {
    const ignored = detector();
    ignored.observeServer({ announcedPid: 1, pid: 2, settings: from('default') });
    expect(ignored.mode).toBe('transaction');
    const passed = detector();
    passed.observeServer({ announcedPid: 1, pid: 2, settings: from('client') });
    expect(passed.mode).toBe('none');
    const same = detector();
    same.observeServer({ announcedPid: 2, pid: 2, settings: from('default') });
    expect(same.mode).toBe('none');
    const unknown = detector();
    unknown.observeServer({ announcedPid: undefined, pid: 2, settings: {} });
    expect(unknown.mode).toBe('none');
  });

  it.each(['transaction', 'statement'] as const)('detects nothing if a mode is configured: %s', (pooler) => {
    const configured = detector({ pooler });
    expect(configured).toMatchObject({
      mode: pooler,
      isConfigured: true,
      isSessionShared: true,
      statementLimitMs: 30_000,
    });
    expect(configured.connectOptions()).not.toHaveProperty('statement_timeout');
    configured.observeServer({ announcedPid: 2, pid: 2, settings: from('client') });
    expect(configured.mode).toBe(pooler);
  });

  it('detects nothing if none is configured, whatever is refused', () => {
    const configured = detector({ pooler: 'none' });
    expect(configured.observeRefusal(refusal('statement_timeout'))).toBe(false);
    configured.observeServer({ announcedPid: 1, pid: 2, settings: from('default') });
    expect(configured).toMatchObject({ mode: 'none', isSessionShared: false });
    expect(configured.connectOptions()).toMatchObject({ statement_timeout: 30_000 });
  });

  it('in session mode sets the settings by one statement after the login', async () => {
    const configured = detector({
      pooler: 'session',
      session: { 'app.tenant': 'mine' },
      timeouts: { lockMs: 5_000 },
    });
    expect(configured).toMatchObject({
      isSessionShared: false,
      allowsNamedStatements: true,
      statementLimitMs: 0,
    });
    expect(configured.connectOptions()).toMatchObject({ statementLimitMs: 35_000 });
    const short = detector({ pooler: 'session', timeouts: { statementMs: 3_000 } });
    expect(short.connectOptions()).toMatchObject({ statementLimitMs: 3_750 });
    const sent: unknown[] = [];
    const query = (...statement: unknown[]) => Promise.resolve(void sent.push(statement));
    await configured.applySessionSettings({ query } as never);
    expect(sent).toEqual([
      [
        'SELECT set_config($1, $2, false), set_config($3, $4, false), set_config($5, $6, false), set_config($7, $8, false)',
        [
          ...['statement_timeout', '30000', 'idle_in_transaction_session_timeout', '60000'],
          ...['lock_timeout', '5000', 'app.tenant', 'mine'],
        ],
      ],
    ]);
    await detector({ pooler: 'transaction' }).applySessionSettings({ query } as never);
    await detector({
      pooler: 'session',
      timeouts: { statementMs: 0, idleInTransactionMs: 0 },
    }).applySessionSettings({
      query,
    } as never);
    expect(sent).toHaveLength(1);
  });
});
