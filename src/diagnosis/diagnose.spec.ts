import { describe, expect, it } from '@jest/globals';
import { PoolAcquireTimeoutError, PoolConnectError } from '../errors/pool.errors.js';
import { CONNECTION_RULES } from './connection-rules.js';
import { diagnose, findRule } from './diagnose.js';
import type { Sign } from './failure-rule.js';
import { STATEMENT_RULES } from './statement-rules.js';

/** The server's answer to a statement, as `pg` creates it. */
const statementError = (code: string, message = 'something') =>
  Object.assign(withCode(code, message), { severity: 'ERROR', routine: 'exec_simple_query' });
const withCode = (code: string, message = 'something') => Object.assign(new Error(message), { code });

describe('diagnose', () => {
  it.each([
    ['ECONNREFUSED', 'CONNECTION_REFUSED', true],
    ['ENOTFOUND', 'HOST_NOT_FOUND', false],
    ['EAI_AGAIN', 'DNS_TEMPORARY_FAILURE', true],
    ['28P01', 'PASSWORD_WRONG', false],
    ['3D000', 'DATABASE_UNKNOWN', false],
    ['53300', 'TOO_MANY_CONNECTIONS', true],
    ['57P03', 'SERVER_STARTING', true],
    ['CERT_HAS_EXPIRED', 'TLS_CERTIFICATE_EXPIRED', false],
    // The code of Node 20, and that of Node 24.
    ['ERR_SSL_SSLV3_ALERT_CERTIFICATE_EXPIRED', 'TLS_CLIENT_CERTIFICATE_REFUSED', false],
    ['ERR_SSL_SSL/TLS_ALERT_CERTIFICATE_EXPIRED', 'TLS_CLIENT_CERTIFICATE_REFUSED', false],
  ])('explains %s as %s, with transient %p', (code, name, transient) => {
    expect(diagnose(withCode(code))).toMatchObject({
      code: name,
      transient,
      meaning: expect.any(String),
      hint: expect.any(String),
    });
  });

  it.each([
    ['The server does not support SSL connections', 'TLS_NOT_OFFERED'],
    ['timeout expired', 'CONNECT_TIMEOUT'],
    ['Connection terminated unexpectedly', 'CONNECTION_RESET'],
    ['SASL: SCRAM-SERVER-FIRST-MESSAGE: client password must be a non-empty string', 'PASSWORD_MISSING'],
  ])('recognises "%s" by its message', (message, code) => {
    expect(diagnose(new Error(message)).code).toBe(code);
  });

  it('does not match errors of statements by the messages of connections', () => {
    for (const code of ['P0001', 'XX000', '08P01', '42704'])
      expect(diagnose(statementError(code, 'rate limit; no such user; endpoint not found')).code).not.toMatch(
        /NEON|ROLE|PASSWORD|CONNECT/,
      );
  });

  it.each([
    ['23505', 'UNIQUE_VIOLATION', false],
    ['23503', 'FOREIGN_KEY_VIOLATION', false],
    ['40001', 'SERIALIZATION_FAILURE', true],
    ['40P01', 'DEADLOCK', true],
    ['42P01', 'TABLE_UNKNOWN', false],
    ['22P02', 'VALUE_MALFORMED', false],
    ['25P02', 'TRANSACTION_FAILED', false],
    ['3D000', 'DATABASE_UNKNOWN', false],
    ['23Z99', 'CONSTRAINT_VIOLATION', false],
    ['55P03', 'LOCK_NOT_AVAILABLE', true],
    ['08001', 'FOREIGN_SERVER_FAILED', false],
    ['ZZ999', 'UNKNOWN', false],
  ])(
    'explains the error %s of a statement as %s, without mention of connections',
    (state, code, transient) => {
      const wrapped = Object.assign(new Error('something'), {
        ...statementError(state),
        driverError: statementError(state),
      });
      for (const error of [statementError(state), wrapped]) {
        const diagnosis = diagnose(error);
        expect(diagnosis).toMatchObject({ code, transient });
        expect(`${diagnosis.meaning} ${diagnosis.hint}`).not.toMatch(/connection|pooler|DB_/i);
      }
    },
  );

  it('explains a fatal error of a statement as the end of its connection', () => {
    const killed = Object.assign(statementError('57P01'), { severity: 'FATAL' });
    expect(diagnose(killed)).toMatchObject({ code: 'CONNECTION_KILLED', transient: true });
    expect(diagnose(Object.assign(statementError('42602'), { severity: 'FATAL' })).code).toBe(
      'CONNECTION_FAILED',
    );
    // A severity in the language of lc_messages.
    expect(diagnose(Object.assign(statementError('28P01'), { severity: 'ВАЖНО' })).code).toBe(
      'PASSWORD_WRONG',
    );
  });

  it('explains an error of a statement as a failure of the connection during a connection attempt', () => {
    const unknown = statementError('42704', 'unrecognized configuration parameter "work_men"');
    expect(diagnose(unknown, { connecting: true }).code).toBe('SESSION_SETTING_INVALID');
    expect(diagnose(new PoolConnectError('no connection', { cause: unknown })).code).toBe(
      'SESSION_SETTING_INVALID',
    );
    expect(diagnose(new Error('something else'), { connecting: true }).code).toBe('CONNECTION_FAILED');
    expect(diagnose(new PoolConnectError('no connection', { cause: new Error('of a hook') })).code).toBe(
      'CONNECTION_FAILED',
    );
  });

  it('distinguishes a row-level security policy from a missing privilege', () => {
    const refused = statementError('42501', 'new row violates row-level security policy for table "t"');
    expect(diagnose(refused)).toMatchObject({
      code: 'ROW_SECURITY_VIOLATION',
      hint: expect.stringContaining('pg_policies'),
    });
    expect(diagnose(statementError('42501', 'permission denied for table t'))).toMatchObject({
      code: 'PERMISSION_DENIED',
      hint: expect.stringMatching(/^GRANT/),
    });
  });

  it('distinguishes NOWAIT from a lock timeout', () => {
    const nowait = diagnose(statementError('55P03', 'could not obtain lock on row in relation "t"'));
    expect(nowait.code).toBe('LOCK_NOT_AVAILABLE');
    expect(nowait.hint).not.toContain('DB_LOCK_TIMEOUT');
    expect(diagnose(statementError('55P03', 'canceling statement due to lock timeout')).code).toBe(
      'LOCK_TIMEOUT',
    );
  });

  it.each(['ENETDOWN', 'EHOSTDOWN', 'EHOSTUNREACH'])('explains %s as transient', (code) => {
    expect(diagnose(withCode(code))).toMatchObject({ code: 'HOST_UNREACHABLE', transient: true });
  });

  it('explains ENOENT as a missing socket only for a connection attempt', () => {
    expect(diagnose(withCode('ENOENT', 'connect ENOENT /tmp/.s.PGSQL.5432'))).toMatchObject({
      code: 'CONNECTION_REFUSED',
      transient: true,
    });
    const file = withCode('ENOENT', "ENOENT: no such file or directory, open '/run/secrets/password'");
    expect(diagnose(file)).toMatchObject({ code: 'UNKNOWN', transient: false });
  });

  it.each(['The request to the vault timed out', 'Lock wait timeout exceeded; try restarting transaction'])(
    'does not explain "%s" as a timeout of the connection',
    (message) => {
      expect(diagnose(new Error(message))).toMatchObject({ code: 'UNKNOWN', transient: false });
    },
  );

  it('finds every rule by each of its signs', () => {
    const errorsOf = (sign: Sign, errorOf: typeof withCode) => {
      if (typeof sign === 'string') return [errorOf(sign)];
      const { example, codes = [] } = sign;
      return codes.length > 0 ? codes.map((code) => errorOf(code, example)) : [new Error(example)];
    };
    for (const [rules, errorOf] of [
      [CONNECTION_RULES, withCode],
      [STATEMENT_RULES, statementError],
    ] as const)
      for (const rule of rules)
        for (const sign of rule.signs)
          for (const error of errorsOf(sign, errorOf)) expect(findRule(error)).toBe(rule);
  });

  it.each([
    [
      'server login has been failing, cached error: password authentication failed for user "a"',
      '08P01',
      'POOLER_SERVER_UNREACHABLE',
    ],
    ['server login failed: FATAL the database system is shutting down', '08P01', 'POOLER_SERVER_UNREACHABLE'],
    ['Control plane request failed: endpoint is disabled', 'XX000', 'NEON_ENDPOINT_DISABLED'],
    ['Control plane request failed: project not found', 'XX000', 'NEON_ENDPOINT_NOT_FOUND'],
    ['Control plane request failed: rate limit', 'XX000', 'NEON_TOO_MANY_ATTEMPTS'],
    ['You have exceeded the rate limit', 'XX000', 'NEON_QUOTA_EXCEEDED'],
  ])('chooses the first rule when a message matches several: "%s" (%s) is %s', (message, code, expected) => {
    expect(diagnose(withCode(code, message)).code).toBe(expected);
  });

  it.each([
    ['ECONNREFUSED', 'network'],
    ['CERT_HAS_EXPIRED', 'tls'],
    ['CHANNEL_BINDING_MISSING', 'tls'],
    ['28P01', 'login'],
    ['42501', 'login'],
    ['53300', 'server'],
    ['CONNECTION_SILENT', 'server'],
    ['POOL_ACQUIRE_TIMEOUT', 'pool'],
    ['23505', 'statement'],
    ['ZZ999', 'unknown'],
  ])('puts %s into the category %s', (code, category) => {
    expect(diagnose(withCode(code)).category).toBe(category);
  });

  it('searches the cause and the errors of an AggregateError', () => {
    const several = new AggregateError([withCode('ECONNREFUSED'), withCode('ECONNREFUSED')]);
    expect(diagnose(new PoolConnectError('no connection', { cause: several })).code).toBe(
      'CONNECTION_REFUSED',
    );
  });

  it('explains an acquire timeout by the failed connection attempt in its cause', () => {
    const cause = withCode('28P01');
    expect(diagnose(new PoolAcquireTimeoutError('timeout', { cause })).code).toBe('PASSWORD_WRONG');
    expect(diagnose(new PoolAcquireTimeoutError('timeout')).code).toBe('POOL_ACQUIRE_TIMEOUT');
  });

  it('explains an unknown host name as transient only when it is local', () => {
    expect(diagnose(withCode('ENOTFOUND'), { localHost: true }).transient).toBe(true);
    expect(diagnose(withCode('ENOTFOUND'), { localHost: false }).transient).toBe(false);
  });

  it.each([
    [undefined],
    ['text'],
    [new Error('something else')],
    [new TypeError("Cannot read properties of undefined (reading 'rows')")],
  ])('explains %p as UNKNOWN, without mention of connections', (error) => {
    const diagnosis = diagnose(error);
    expect(diagnosis).toMatchObject({ code: 'UNKNOWN', transient: false });
    expect(`${diagnosis.meaning} ${diagnosis.hint}`).not.toContain('connection');
  });
});
