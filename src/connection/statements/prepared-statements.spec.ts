import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import { ScriptedServer } from '../../../test/support/scripted-server.js';
import type { Answer } from '../../../test/support/scripted-server.js';
import { Connection } from '../connection.js';
import type { ConnectionOptions } from '../connection.options.js';
import { NO_POOLER } from '../session/pooler-terms.js';
import { PREPARED_STATEMENTS } from './prepared-statements.js';
import { StatementTexts } from './statement-texts.js';

let server: ScriptedServer;
let connection: Connection;
/** The types of the messages that the client has sent. */
let sent: string;

async function open(options: ConnectionOptions = {}): Promise<void> {
  server = new ScriptedServer();
  connection = new Connection({
    user: 'app',
    stream: () => server,
    preparedStatements: { threshold: 1 },
    ...options,
  });
  connection.on('error', () => undefined);
  await connection.connect();
  connection.finishSetup();
  const write = server._write.bind(server);
  server._write = (chunk: Buffer, encoding, done) => {
    for (let at = 0; at < chunk.length; at += 1 + chunk.readInt32BE(at + 1))
      sent += String.fromCharCode(chunk[at]!);
    sent += ' ';
    write(chunk, encoding, done);
  };
}

beforeEach(() => {
  sent = '';
});
afterEach(() => connection.close());

const read = () => connection.query('SELECT $1', [1]);
const error = (code: string) => ({ error: { severity: 'ERROR', code } });

/** TEST_PREPARED_STATEMENTS replaces the default. */
const itByDefault = process.env.TEST_PREPARED_STATEMENTS === undefined ? it : it.skip;

describe('PreparedStatements', () => {
  it('sends a statement in one packet, prepared or not', async () => {
    await open({ preparedStatements: { threshold: 2 } });
    for (let n = 0; n < 3; n += 1) await read();
    expect(sent).toBe('PBDES PBDES BES ');
  });

  itByDefault('prepares at the fifth use by default, and keeps 256', async () => {
    expect(PREPARED_STATEMENTS).toEqual({ threshold: 5, max: 256 });
    for (const preparedStatements of [undefined, true, {}] as const) {
      sent = '';
      await open({ preparedStatements });
      for (let n = 0; n < 6; n += 1) await read();
      expect(sent).toBe('PBDES PBDES PBDES PBDES PBDES BES ');
    }
  });

  it('reads the pooler terms for each statement', async () => {
    const poolerTerms = { ...NO_POOLER, allowsNamedStatements: false };
    await open({ poolerTerms });
    await read();
    await read();
    poolerTerms.allowsNamedStatements = true;
    await read();
    await read();
    expect(sent).toBe('PBDES PBDES PBDES BES ');
  });

  it('shares the counter and the knowledge of a lost statement among the connections of a pool', async () => {
    const statementTexts = new StatementTexts();
    await open({ statementTexts, preparedStatements: { threshold: 3 } });
    await read();
    await read();
    await open({ statementTexts, preparedStatements: { threshold: 3 } });
    await read();
    await read();
    expect(sent).toBe('PBDES PBDES PBDES BES ');
    statementTexts.hasLostStatement = true;
    await read();
    expect(sent).toBe('PBDES PBDES PBDES BES PBDES ');
  });

  it('closes a statement whose preparation has failed before it is prepared again', async () => {
    await open();
    server.answer = () => error('22P02');
    await expect(read()).rejects.toMatchObject({ code: '22P02' });
    server.answer = () => ({ tag: 'SELECT 0' });
    await read();
    await read();
    expect(sent).toBe('PBDES CPBDES BES ');
  });

  it('keeps a statement whose execution has failed', async () => {
    await open();
    await read();
    server.answer = () => error('22P02');
    await expect(read()).rejects.toMatchObject({ code: '22P02' });
    server.answer = () => ({ tag: 'SELECT 0' });
    await read();
    expect(sent).toBe('PBDES BES BES ');
  });

  it('does not count uses that fail', async () => {
    await open({ preparedStatements: { threshold: 2 } });
    server.answer = () => error('42601');
    for (let n = 0; n < 3; n += 1) await expect(read()).rejects.toMatchObject({ code: '42601' });
    server.answer = () => ({ tag: 'SELECT 0' });
    for (let n = 0; n < 3; n += 1) await read();
    expect(sent).toBe('PBDES PBDES PBDES PBDES PBDES BES ');
  });

  it.each([
    ['ALTER TABLE', true],
    ['CREATE TABLE', true],
    ['DROP VIEW', false],
    ['DO', false],
  ])('parses statements again after %s; the other connections of the pool do: %s', async (tag, isShared) => {
    const statementTexts = new StatementTexts();
    await open({ statementTexts });
    await read();
    server.answer = () => ({ tag });
    await connection.query('any text');
    server.answer = () => ({ tag: 'SELECT 0' });
    await read();
    await read();
    expect(sent).toBe('PBDES Q CPBDES BES ');
    expect(statementTexts.schemaVersion).toBe(isShared ? 1 : 0);
  });

  it('parses statements again at the end of a transaction that has changed the schema', async () => {
    const statementTexts = new StatementTexts();
    await open({ statementTexts });
    server.answer = () => ({ tag: 'ALTER TABLE', status: 'T' });
    await connection.query('any text');
    server.answer = () => ({ tag: 'SELECT 0', status: 'T' });
    await read();
    expect(statementTexts.schemaVersion).toBe(0);
    server.answer = () => ({ tag: 'ROLLBACK', status: 'T' });
    await connection.query('to a savepoint');
    server.answer = () => ({ tag: 'SELECT 0', status: 'T' });
    await read();
    server.answer = () => ({ tag: 'COMMIT' });
    await connection.query('any text');
    server.answer = () => ({ tag: 'SELECT 0' });
    await read();
    expect(statementTexts.schemaVersion).toBe(1);
    expect(sent).toBe('Q PBDES Q CPBDES Q CPBDES ');
  });

  it('closes nothing after DISCARD ALL, which has removed all statements', async () => {
    await open({ preparedStatements: { threshold: 1, max: 1 } });
    await read();
    await connection.query('SELECT $1 AS other', [1]);
    server.answer = () => ({ tag: 'DISCARD ALL' });
    await connection.query('DISCARD ALL');
    server.answer = () => ({ tag: 'SELECT 0' });
    await read();
    expect(sent).toBe('PBDES CPBDES Q PBDES ');
  });

  const stale = { severity: 'ERROR', code: '0A000', routine: 'RevalidateCachedQuery' };

  /** The server rejects the next statement. */
  const rejectOnce = (given: Answer['error']) => {
    const rejecting = server;
    rejecting.answer = () => {
      rejecting.answer = () => ({ tag: 'SELECT 0' });
      return { error: given };
    };
  };

  it('sends a rejected statement again, unprepared', async () => {
    await open();
    await read();
    rejectOnce(stale);
    await expect(read()).resolves.toMatchObject({ command: 'SELECT' });
    expect(sent).toBe('PBDES BES CPBDES ');
  });

  it.each([
    ['a change inside a function', { ...stale, where: 'PL/pgSQL function f() line 1' }],
    ['another feature that is not supported', { ...stale, routine: 'other' }],
    ['a statement of another name', { severity: 'ERROR', code: '26000', message: '"p" does not exist' }],
    ['another name that is taken', { severity: 'ERROR', code: '42P05', message: '"p" already exists' }],
  ])('does not send a statement again after %s, and keeps it', async (_, given) => {
    await open();
    await read();
    rejectOnce(given);
    await expect(read()).rejects.toMatchObject({ code: given.code, hint: undefined });
    await read();
    expect(sent).toBe('PBDES BES BES ');
  });

  it('counts a change that two connections notice once', async () => {
    const statementTexts = new StatementTexts();
    await open({ statementTexts });
    await read();
    const first = [server, connection] as const;
    await open({ statementTexts });
    await read();
    rejectOnce(stale);
    const second = read();
    [server, connection] = first;
    rejectOnce(stale);
    await Promise.all([second, read()]);
    expect(statementTexts.schemaVersion).toBe(1);
    expect(statementTexts.factsOf('SELECT $1').uses).toBe(-10);
  });

  it('does not send a statement again inside a transaction', async () => {
    await open();
    await read();
    server.answer = () => ({ tag: 'BEGIN', status: 'T' });
    await connection.query('BEGIN');
    rejectOnce(stale);
    await expect(read()).rejects.toMatchObject({ code: '0A000', hint: expect.any(String) });
    expect(sent).toBe('PBDES Q BES ');
  });

  it('closes a statement that was parsed for a value that cannot be sent', async () => {
    await open();
    const value = {
      toPostgres: () => {
        throw new Error('not a value');
      },
    };
    // Without Execute, the server completes no command.
    server.answer = () => ({});
    await expect(connection.query('SELECT $1', [value])).rejects.toThrow('not a value');
    await connection.whenReadyForQuery();
    server.answer = () => ({ tag: 'SELECT 0' });
    await read();
    await read();
    expect(sent.replace('PCS', 'PS')).toBe('PS CPBDES BES ');
  });
});
