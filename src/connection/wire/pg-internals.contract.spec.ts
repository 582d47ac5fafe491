import { createRequire } from 'node:module';
import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import { Client, Query } from 'pg';
import { ScriptedServer } from '../../../test/support/scripted-server.js';
import { createWire, sentValues } from './pg-internals.js';
import type { PgWire } from './pg-internals.js';

const { version } = createRequire(import.meta.url)('pg/package.json') as { version: string };
const [, minor = 0] = version.split('.').map(Number);

let server: ScriptedServer;
let client: Client & Record<string, any>;
let wire: PgWire & Record<string, any>;

beforeEach(async () => {
  server = new ScriptedServer();
  client = new Client({ user: 'app', database: 'app', statement_timeout: 1_234, stream: () => server });
  client.on('error', () => undefined);
  wire = client.connection as unknown as PgWire;
});
afterEach(() => void server.destroy());

/** Throws an error that names the version of `pg` and what it lacks. */
function rely(what: string, holds: boolean): void {
  if (!holds) throw new Error(`pg ${version} no longer has ${what}, which src/connection/wire relies on`);
}

describe(`pg ${version} has these undocumented properties, which PgInternals uses:`, () => {
  it('query.prepare(), which gives the conversion of values to bind()', () => {
    const bytes = Buffer.from('a');
    const sent = sentValues([1, null, undefined, [1, 'a"'], { a: 1 }, bytes, { toPostgres: () => 'x' }]);
    rely(
      'query.prepare() with a valueMapper',
      JSON.stringify(sent) === JSON.stringify(['1', null, null, '{"1","a\\""}', '{"a":1}', bytes, 'x']),
    );
  });

  it.each(['readyForQuery', '_activeQuery', '_queryQueue', '_queryable', '_ending', '_ended'])(
    'client.%s after the connect',
    async (name) => {
      await client.connect();
      rely(`client.${name}`, name in client);
    },
  );

  it('client.readyForQuery and client._activeQuery, which show that a query is active', async () => {
    await client.connect();
    const seen = () => [client.readyForQuery, !!client._activeQuery];
    const ready = seen();
    const query = client.query('SELECT 1');
    const active = seen();
    await query;
    rely(
      'client.readyForQuery and client._activeQuery as the state of a query',
      [ready, active, seen()].join() === 'true,false,false,true,true,false',
    );
    expect(client._activeQuery ?? null).toBeNull();
  });

  it('client._activeQuery as an instance of Query with text and callback', async () => {
    await client.connect();
    const query = client.query('SELECT 1');
    const active = client._activeQuery;
    rely('client._activeQuery as a Query', active instanceof Query);
    rely('query.text', active.text === 'SELECT 1');
    rely('query.callback', typeof active.callback === 'function');
    await query;
  });

  it('client._queryQueue, which holds the queries behind the active one', async () => {
    await client.connect();
    const queries = [client.query('SELECT 1'), client.query('SELECT 2')];
    rely('client._queryQueue', client._queryQueue.length === 1 && client._queryQueue[0].text === 'SELECT 2');
    await Promise.all(queries);
  });

  it('client._sentQueryQueue from pg 8.23 on, which holds the pipelined queries', async () => {
    if (minor < 23) return;
    rely('client._sentQueryQueue', Array.isArray(client._sentQueryQueue));
  });

  it('client._ending and client._ended, which show that the client has been ended', async () => {
    await client.connect();
    const ended = client.end();
    rely('client._ending', client._ending === true);
    await ended;
    rely('client._ended', client._ended === true);
  });

  it('client._queryable, which shows that the socket has failed', async () => {
    await client.connect();
    rely('client._queryable', client._queryable === true);
    server.destroy(new Error('read ECONNRESET'));
    await new Promise((resolve) => setImmediate(resolve));
    rely('client._queryable', client._queryable === false);
  });

  it('client.processID and client.secretKey, which a cancel request needs', async () => {
    await client.connect();
    rely('client.processID', client.processID === 7);
    rely('client.secretKey', client.secretKey === 8);
  });

  it('client.connectionParameters with the limits and the options of the startup packet', async () => {
    const parameters = client.connectionParameters;
    rely('client.connectionParameters.statement_timeout', Number(parameters?.statement_timeout) === 1_234);
    rely('client.connectionParameters.query_timeout', 'query_timeout' in parameters);
    parameters.options = '-c geqo=off';
    await client.connect();
    rely('client.connectionParameters.options', server.startup.includes('options\0-c geqo=off\0'));
  });

  it('client.ssl, client.host and client.port', () => {
    rely('client.ssl', client.ssl === false);
    rely('client.host', typeof client.host === 'string');
    rely('client.port', typeof client.port === 'number');
  });

  it('client.sslNegotiation and connection.sslNegotiation from pg 8.23 on', () => {
    if (minor < 23) return;
    const direct = new Client({ ssl: {}, sslnegotiation: 'direct', stream: () => server }) as any;
    rely('client.sslNegotiation', direct.sslNegotiation === 'direct');
    rely('connection.sslNegotiation', direct.connection.sslNegotiation === 'direct');
  });

  it('client.password as a function that is called when the server asks', async () => {
    server.password = 'secret';
    client.password = (async () => 'secret') as never;
    await client.connect();
    rely('client.password as a function', server.startup !== '');
  });

  it('client.getTransactionStatus', async () => {
    await client.connect();
    rely('client.getTransactionStatus', client.getTransactionStatus() === 'I');
  });

  it('the event drain after the last query', async () => {
    await client.connect();
    let drained = 0;
    client.on('drain', () => (drained += 1));
    await client.query('SELECT 1');
    await new Promise((resolve) => setImmediate(resolve));
    rely('the event drain', drained === 1);
  });

  it('connection.query, for a statement without parameters', async () => {
    await client.connect();
    const sent: unknown[] = [];
    const query = wire.query.bind(wire);
    wire.query = (text) => {
      sent.push(text);
      query(text);
    };
    await client.query('SELECT 1');
    rely('connection.query', sent.join() === 'SELECT 1');
  });

  it('connection.parse, bind, execute and sync, and connection.parsedStatements, for a named statement', async () => {
    await client.connect();
    const sent: string[] = [];
    for (const name of ['parse', 'bind', 'execute', 'sync'] as const) {
      rely(`connection.${name}`, typeof wire[name] === 'function');
      const send = wire[name].bind(wire) as (...message: unknown[]) => void;
      (wire as Record<string, unknown>)[name] = (...message: [{ text?: string; statement?: string }?]) => {
        sent.push(`${name} ${message[0]?.text ?? message[0]?.statement ?? ''}`.trim());
        send(...message);
      };
    }
    const named = { name: 'one', text: 'SELECT $1', values: [1] };
    await client.query(named);
    rely('connection.parsedStatements', wire.parsedStatements['one'] === 'SELECT $1');
    await client.query(named);
    rely(
      'connection.parse, bind, execute and sync',
      sent.join() === 'parse SELECT $1,bind one,execute,sync,bind one,execute,sync',
    );
    wire.parsedStatements = {};
    wire.submittedNamedStatements = {};
    sent.length = 0;
    await client.query(named);
    rely('connection.parsedStatements', sent[0] === 'parse SELECT $1');
  });

  it('connection.parse, bind, describe, execute and sync in one call for a query with values, each by connection._send', async () => {
    await client.connect();
    const called: string[] = [];
    for (const name of ['parse', 'bind', 'describe', 'execute', 'sync', '_send'] as const) {
      rely(`connection.${name}`, typeof wire[name] === 'function');
      const send = wire[name].bind(wire) as (...message: unknown[]) => void;
      (wire as Record<string, unknown>)[name] = (...message: unknown[]) => {
        called.push(name === '_send' ? String.fromCharCode((message[0] as Buffer)[0]!) : name);
        send(...message);
      };
    }
    const query = client.query('SELECT $1', [1]);
    rely(
      'connection.parse, bind, describe, execute and sync in one call',
      called.join() === 'parse,P,bind,B,describe,D,execute,E,sync,S',
    );
    const active = client._activeQuery;
    rely('query.constructor', active.constructor === Query);
    for (const name of ['rows', 'binary', 'portal', 'types', 'name'])
      rely(`query.${name}`, name in active && !active[name]);
    rely('query.values', active.values.length === 1);
    await query;
  });

  it('query._result, with what RowDescription sets', async () => {
    await client.connect();
    const query = client.query('SELECT $1', [1]);
    const active = client._activeQuery;
    const result = active._result;
    rely('result.fields and result.rows', result.fields.length === 0 && result.rows.length === 0);
    rely('result._parsers', result._parsers === undefined);
    rely('result._prebuiltEmptyResultObject', result._prebuiltEmptyResultObject === null);
    rely('result._types', typeof result._types.getTypeParser === 'function');
    // The class is not exported.
    const { Field } = createRequire(createRequire(import.meta.url).resolve('pg'))(
      'pg-protocol/dist/messages',
    ) as {
      Field: new (...values: unknown[]) => Record<string, unknown>;
    };
    const values = ['n', 1, 2, 23, 4, -1, 'text'];
    const field = new Field(...values);
    const names = ['name', 'tableID', 'columnID', 'dataTypeID', 'dataTypeSize', 'dataTypeModifier', 'format'];
    rely(
      'the constructor of Field',
      names.every((name, index) => field[name] === values[index]),
    );
    rely('the properties of Field', Object.keys(field).sort().join() === [...names].sort().join());
    active.handleRowDescription({ fields: [field] });
    rely('result.fields', result.fields[0] === field);
    rely('result._parsers', result._parsers[0] === result._types.getTypeParser(23, 'text'));
    rely('result._prebuiltEmptyResultObject', 'n' in result._prebuiltEmptyResultObject);
    rely('query._accumulateRows', Boolean(active._accumulateRows));
    await query;
  });

  it('client._queryQueue, from which a query is sent when the server is ready after an error', async () => {
    await client.connect();
    let failures = 0;
    server.answer = () =>
      failures++ ? { tag: 'SELECT 0' } : { error: { severity: 'ERROR', code: '0A000' } };
    // Before the listener of `pg`, as in the constructor of a connection.
    wire.prependListener('errorMessage', () => {
      client._queryQueue.unshift(client._activeQuery);
      client._activeQuery = { handleError: () => undefined };
    });
    const { command } = await client.query('SELECT $1', [1]);
    rely(
      'client._queryQueue and client._activeQuery',
      command === 'SELECT' && server.statements.length === 2,
    );
  });

  it('connection.close and connection.stream', () => {
    rely('connection.close', typeof wire.close === 'function');
    rely('connection.stream', (wire.stream as unknown) === server);
  });

  it('the events of the connection, with their messages', async () => {
    const seen: Record<string, any> = {};
    const events = ['authenticationOk', 'connect', 'readyForQuery', 'commandComplete', 'errorMessage', 'end'];
    for (const event of events) wire.on(event as 'end', (message) => (seen[event] ??= message ?? true));
    await client.connect();
    await client.query('SELECT 1');
    server.answer = () => ({ error: { severity: 'ERROR', code: '42601' } });
    await client.query('SELECT').catch(() => undefined);
    await client.end();
    for (const event of events) rely(`the event ${event} of client.connection`, event in seen);
    rely('readyForQuery.status', seen.readyForQuery.status === 'I');
    rely('commandComplete.text', seen.commandComplete.text === 'SELECT 0');
    rely('errorMessage.code', seen.errorMessage.code === '42601');
  });

  it.each([
    'authenticationCleartextPassword',
    'authenticationMD5Password',
    'authenticationSASL',
    'authenticationSASLFinal',
    'portalSuspended',
    'error',
    'errorMessage',
  ])('an own listener for the event %s of the connection', (event) => {
    void client.connect().catch(() => undefined);
    rely(`the event ${event} of client.connection`, wire.listenerCount(event) > 0);
  });

  it('the exported class Connection, with connect, requestSsl, cancel and upgradeToSSL', () => {
    const alone = createWire({ stream: server }) as unknown as Record<string, unknown>;
    for (const name of ['connect', 'requestSsl', 'cancel'])
      rely(`Connection.${name}`, typeof alone[name] === 'function');
    if (minor >= 23) rely('Connection.upgradeToSSL', typeof alone['upgradeToSSL'] === 'function');
  });

  it('wire.emit, which is called for each message of the server', async () => {
    await client.connect();
    const emitted: string[] = [];
    const emit = wire.emit.bind(wire);
    wire.emit = (event: string, message: unknown) => {
      emitted.push(event);
      return emit(event, message);
    };
    await client.query('SELECT 1');
    rely('wire.emit as the dispatch of messages', emitted.includes('readyForQuery'));
  });

  it('query._result.constructor as the class of results, and the methods that build rows', () => {
    const result = (new Query('') as any)._result;
    rely('query._result.addFields', typeof result.addFields === 'function');
    rely('query._result.addCommandComplete', typeof result.addCommandComplete === 'function');
    const built = new result.constructor(undefined, client._types);
    rely('query._result.parseRow', typeof built.parseRow === 'function');
    expect(built._types).toBe(client._types);
  });
});
