import { AsyncLocalStorage } from 'node:async_hooks';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { afterEach, beforeEach, expect, it } from '@jest/globals';
import { Client } from 'pg';
import { ScriptedServer } from '../../../test/support/scripted-server.js';
import { Connection } from '../connection.js';
import { StatementTexts } from '../statements/statement-texts.js';
import type { StatementFacts } from '../statements/statement-texts.js';
import { NOT_EXECUTED } from './shared-statement.js';
import type { StatementLane } from './statement-lane.js';
import { StatementTimings } from './statement-timings.js';

const TEXT = 'SELECT $1';

let server: ScriptedServer;
let connection: Connection;
let texts: StatementTexts;
let facts: StatementFacts;
let lane: StatementLane;
/** The types of the messages that the client has sent; a packet ends with a space. */
let sent: string;

beforeEach(async () => {
  server = new ScriptedServer();
  texts = new StatementTexts();
  facts = texts.factsOf(TEXT);
  facts.uses = 1;
  connection = new Connection({
    user: 'app',
    stream: () => server,
    preparedStatements: { threshold: 1 },
    statementTexts: texts,
    statementTimings: new StatementTimings({ maxMeanMs: 5 }),
  });
  connection.on('error', () => undefined);
  await connection.connect();
  connection.finishSetup();
  lane = connection.startSharing({ onAnswer: () => undefined, onEmpty: () => undefined })!;
  sent = '';
  const write = server._write.bind(server);
  server._write = (chunk: Buffer, encoding, done) => {
    for (let at = 0; at < chunk.length; at += 1 + chunk.readInt32BE(at + 1))
      sent += String.fromCharCode(chunk[at]!);
    sent += ' ';
    write(chunk, encoding, done);
  };
});
afterEach(() => connection.close());

function collectGarbage(): void {
  setFlagsFromString('--expose_gc');
  (runInNewContext('gc') as () => void)();
}

const send = (value: unknown = 1) => lane.reserve(facts).send([value]);
const unsendable = () => ({ toPostgres: () => { throw new Error('no text'); } }); // prettier-ignore

it('A lane parses a statement once, however many are in flight', async () => {
  await Promise.all([send(), send(), send()]);
  await send();
  expect(sent).toBe('PDBESBESBES BES ');
});

it('A lane parses a statement again after a change of the schema, although the first Parse is answered later', async () => {
  const first = send();
  texts.schemaVersion += 1;
  await expect(send(unsendable())).rejects.toThrow('no text');
  await first;
  await send();
  expect(sent).toBe('PDBES CPDBES ');
});

it('A lane writes the statements of one turn of the event loop together', async () => {
  const first = send();
  // As requests on two sockets are: each in a callback of its own.
  const second = new Promise((resolve) => process.nextTick(() => process.nextTick(() => resolve(send()))));
  await Promise.all([first, second]);
  expect(sent).toBe('PDBESBES ');
});

it('A statement that is not written when the connection ends is sent elsewhere, and those before it fail', async () => {
  const written = send();
  await new Promise(setImmediate);
  const unwritten = send();
  server.destroy();
  await expect(written).rejects.toThrow('terminated');
  expect(await unwritten).toBe(NOT_EXECUTED);
});

it('A statement that is not written when the connection is closed is sent elsewhere, and those before it are answered', async () => {
  const written = send();
  await new Promise(setImmediate);
  const unwritten = send();
  void connection.end();
  expect(await unwritten).toBe(NOT_EXECUTED);
  expect(await written).toMatchObject({ rows: [] });
  expect(lane.length).toBe(0);
});

it('A value that cannot be written leaves its place to others, and its statement is parsed by the next one', async () => {
  // `pg` converts it to a number, which it cannot write.
  const unwritable = Object.assign(() => undefined, { toString: () => 1 });
  await expect(send(unwritable)).rejects.toThrow('must be of type string');
  expect(lane.length).toBe(0);
  await send();
  expect(sent).toBe('PDBES ');
});

it.each([
  [
    'throws',
    () => {
      throw new Error('refused');
    },
  ],
  ['rejects', () => Promise.reject(new Error('refused'))],
])('A statement that a tool refuses, which %s, leaves its place to others', async (_, refuse) => {
  const { query } = Client.prototype;
  Client.prototype.query = Object.assign(refuse, { __original: query });
  try {
    await expect((async () => send())()).rejects.toThrow('refused');
  } finally {
    Client.prototype.query = query;
  }
  expect(lane.length).toBe(0);
});

it('A lane is not ended by a report of the server about itself', async () => {
  const answer = send();
  server.say('S', 'in_hot_standby\0off\0');
  await answer;
  expect(lane.isSessionChanged).toBe(false);
  expect(lane.isOpen).toBe(true);
  expect(connection.isSessionChanged).toBe(false);
});

it('A lane sends the statements behind one that changes its session elsewhere', async () => {
  const answers = Promise.allSettled([send(), send()]);
  server.say('S', 'TimeZone\0Asia/Tokyo\0');
  expect(await answers).toMatchObject([
    { status: 'fulfilled' },
    { status: 'fulfilled', value: NOT_EXECUTED },
  ]);
  expect(lane.isOpen).toBe(false);
});

it('A value that sends another statement while it is converted leaves both intact', async () => {
  let nested: Promise<unknown> | undefined;
  const values: string[] = [];
  const hear = server._write.bind(server);
  server._write = (chunk: Buffer, encoding, done) => {
    for (const [value] of chunk.toString('latin1').matchAll(/outer|inner/g)) values.push(value);
    hear(chunk, encoding, done);
  };
  await send({
    toPostgres: () => {
      nested = send('inner');
      return 'outer';
    },
  });
  await nested;
  expect(values.sort()).toEqual(['inner', 'outer']);
  expect(sent).toBe('PDBESBES ');
});

it('A value of a statement on another connection that sends one on the lane while it is converted leaves both intact', async () => {
  const other = new ScriptedServer();
  const client = new Connection({ user: 'app', stream: () => other, preparedStatements: false });
  await client.connect();
  const written: string[] = [];
  const hear = other._write.bind(other);
  other._write = (chunk: Buffer, encoding, done) => {
    written.push(chunk.toString('latin1'));
    hear(chunk, encoding, done);
  };
  let nested: Promise<unknown> | undefined;
  const value = {
    toPostgres: () => {
      nested = send('inner');
      return 'outer';
    },
  };
  await client.query(TEXT, [value]);
  await nested;
  await client.query(TEXT, ['outer']);
  await client.close();
  expect(written[0]).toBe(written[1]);
});

it('A lane without a statement in flight keeps no result', async () => {
  const ask = async () => new WeakRef((await send()) as object);
  const result = await ask();
  await new Promise(setImmediate);
  collectGarbage();
  expect(result.deref()).toBeUndefined();
});

it('A lane that is never empty does not keep the async context of a caller', async () => {
  const busy = new ScriptedServer();
  const client = new Connection({
    user: 'app',
    stream: () => busy,
    preparedStatements: { threshold: 1 },
    statementTimings: new StatementTimings({ maxMeanMs: 5 }),
    // Longer than a pause of the machine.
    statementLimitMs: 400,
  });
  await client.connect();
  client.finishSetup();
  const own = client.startSharing({ onAnswer: () => undefined, onEmpty: () => undefined })!;
  const ask = () => own.reserve(facts).send([1]);
  const context = new AsyncLocalStorage<object>();
  const inContext = () => {
    const request = { body: 'large' };
    void context.run(request, ask);
    return new WeakRef(request);
  };
  const request = inContext();
  let last = ask();
  // The timer has been started anew by then.
  const end = performance.now() + 900;
  while (performance.now() < end) {
    const previous = last;
    last = ask();
    await previous;
  }
  await new Promise(setImmediate);
  collectGarbage();
  expect(request.deref()).toBeUndefined();
  await last;
  await client.close();
});

it('A text whose prepared statement the server has rejected is unknown until it is prepared again', () => {
  const timings = new StatementTimings({ maxMeanMs: 5 });
  for (let sample = 0; sample < 8; sample += 1) timings.record(facts, 1, 10, timings.clock.read());
  expect(timings.notShareableReason(facts)).toBeUndefined();
  facts.onRejected();
  expect(timings.notShareableReason(facts)).toBe('unknown');
});
