import { AsyncLocalStorage } from 'node:async_hooks';
import { afterAll, afterEach, beforeAll, describe, expect, it } from '@jest/globals';
import { context, ROOT_CONTEXT, SpanStatusCode, trace } from '@opentelemetry/api';
import type { Context, ContextManager } from '@opentelemetry/api';
import { PgInstrumentation } from '@opentelemetry/instrumentation-pg';
import type { PgInstrumentationConfig } from '@opentelemetry/instrumentation-pg';
import {
  BasicTracerProvider,
  InMemorySpanExporter,
  SimpleSpanProcessor,
} from '@opentelemetry/sdk-trace-base';
import type { ReadableSpan } from '@opentelemetry/sdk-trace-base';
import pg from 'pg';
import { ConnectionPool } from '../../src/pool/index.js';
import type { Connection, PoolOptions } from '../../src/pool/index.js';
import { runScript } from '../support/run-script.js';
import { createTestDatabase } from '../support/database.js';
import type { TestDatabase } from '../support/database.js';

/** A context manager like the one of `@opentelemetry/context-async-hooks`. */
class AsyncContextManager implements ContextManager {
  readonly #current = new AsyncLocalStorage<Context>();
  active = () => this.#current.getStore() ?? ROOT_CONTEXT;
  with<A extends unknown[], F extends (...args: A) => ReturnType<F>>(
    entered: Context,
    fn: F,
    thisArg?: ThisParameterType<F>,
    ...args: A
  ): ReturnType<F> {
    return this.#current.run(entered, () => fn.apply(thisArg, args));
  }
  bind<T>(entered: Context, target: T): T {
    if (typeof target !== 'function') return target;
    const called: (...args: unknown[]) => unknown = target as never;
    return ((...args: unknown[]) => this.#current.run(entered, () => called(...args))) as T;
  }
  enable = () => this;
  disable = () => this;
}

const TRACEPARENT = /^00-[0-9a-f]{32}-[0-9a-f]{16}-01$/;
const NAME = `SELECT current_setting('application_name') AS name`;

describe('Connections that OpenTelemetry traces', () => {
  let database: TestDatabase;
  let pool: ConnectionPool | undefined;
  let undo: (() => void) | undefined;
  const exporter = new InMemorySpanExporter();
  const provider = new BasicTracerProvider({ spanProcessors: [new SimpleSpanProcessor(exporter)] });

  const instrument = (config: PgInstrumentationConfig = {}) => {
    const instrumentation = new PgInstrumentation(config);
    instrumentation.setTracerProvider(provider);
    const [definition] = instrumentation.getModuleDefinitions();
    // Jest does not use `require`, whose hook would call this.
    definition!.patch!(pg);
    undo = () => void definition!.unpatch!(pg);
  };
  const open = (options: PoolOptions = {}) =>
    (pool = new ConnectionPool<Connection>({
      connectionString: database.url,
      application_name: 'mine',
      max: 1,
      ...options,
    }));
  const inSpan = <T>(work: () => Promise<T>) => {
    const span = trace.getTracer('test').startSpan('request');
    return context.with(trace.setSpan(ROOT_CONTEXT, span), work).finally(() => span.end());
  };
  const spans = () => exporter.getFinishedSpans();
  const summaryOf = ({ name, kind, attributes, status }: ReadableSpan) => ({
    name,
    kind,
    attributes,
    status,
  });

  beforeAll(async () => {
    database = await createTestDatabase();
    context.setGlobalContextManager(new AsyncContextManager());
    trace.setGlobalTracerProvider(provider);
  });
  afterEach(async () => {
    await pool?.drain({ timeoutMs: 0 });
    pool = undefined;
    undo?.();
    exporter.reset();
  });
  afterAll(() => database.drop());

  it('have the same spans as connections of pg, under the span of the caller', async () => {
    instrument();
    const runs = [];
    for (const client of [new pg.Client(database.url), undefined]) {
      exporter.reset();
      await client?.connect();
      const leased = client ?? (await open({ application_name: undefined }).connect());
      await inSpan(async () => {
        await leased.query('SELECT 1');
        await leased.query('SELECT $1::int', [1]);
        await leased.query({ name: 'named', text: 'SELECT 2' });
        await expect(leased.query('SELECT nothing')).rejects.toThrow();
        await new Promise((resolve) => leased.query('SELECT 3', resolve));
        // The second statement is queued behind the first.
        await Promise.all([leased.query('SELECT 4'), leased.query('SELECT 5')]);
      });
      if (client) await client.end();
      else (leased as unknown as { release(): void }).release();
      const [parent] = spans().filter(({ name }) => name === 'request');
      const queries = spans().filter(({ name }) => name.startsWith('pg.query'));
      for (const { parentSpanContext } of queries)
        expect(parentSpanContext?.spanId).toBe(parent!.spanContext().spanId);
      runs.push(spans().map(summaryOf));
    }
    expect(runs[1]).toEqual(runs[0]);
    expect(runs[0]).toHaveLength(9);
  });

  it('have one span for each call of a prepared statement, also when it is sent again', async () => {
    instrument();
    await database.sql(
      'CREATE TABLE traced (n int); INSERT INTO traced VALUES (1); GRANT ALL ON traced TO app',
    );
    const runs = [];
    for (const client of [new pg.Client(database.url), undefined]) {
      exporter.reset();
      await client?.connect();
      const leased =
        client ??
        (await open({ application_name: undefined, preparedStatements: { threshold: 2 } }).connect());
      const read = () => leased.query('SELECT * FROM traced WHERE n = $1', [1]);
      await inSpan(async () => {
        for (let n = 0; n < 4; n += 1) await read();
        await leased.query('SELECT $1::int', ['x']).catch(() => undefined);
        await database.sql(`ALTER TABLE traced ADD ${client ? 'a' : 'b'} int`);
        await read();
      });
      if (client) await client.end();
      else (leased as unknown as { release(): void }).release();
      // Without the statements of the superuser.
      runs.push(
        spans()
          .filter(({ name }) => !name.startsWith('pg.query:ALTER'))
          .map(summaryOf),
      );
    }
    expect(runs[1]).toEqual(runs[0]);
    expect(runs[0]!.filter(({ name }) => name.startsWith('pg.query'))).toHaveLength(6);
  });

  it('have the same span for a statement on a shared connection, under the span of its caller', async () => {
    instrument();
    open({ max: 2, application_name: undefined, multiplex: { connections: 1 } });
    const read = (value: unknown) => pool!.query('SELECT $1::int AS n', [value]).catch(() => undefined);
    const shared = () => pool!.snapshot().multiplex!.shared;
    const runs: object[][] = [];
    let isShared = false;
    for (let round = 0; round < 200 && !isShared; round += 1) {
      const before = shared();
      exporter.reset();
      await inSpan(() => Promise.all([read(1), read('x')]));
      const [parent] = spans().filter(({ name }) => name === 'request');
      const queries = spans().filter(({ name }) => name.startsWith('pg.query'));
      for (const { parentSpanContext } of queries)
        expect(parentSpanContext?.spanId).toBe(parent!.spanContext().spanId);
      // The failed one of both may end first.
      runs.push(queries.map(summaryOf).sort((a, b) => a.status.code - b.status.code));
      // A statement that is sent again on a connection of its own has a second span.
      isShared = shared() > before && queries.length === 2;
    }
    expect(isShared).toBe(true);
    expect(runs.at(-1)).toEqual(runs[0]);
  });

  it('have no failed span for a statement that leaves its shared connection after a change of the schema', async () => {
    instrument();
    open({ max: 2, application_name: undefined, multiplex: { connections: 1 } });
    await database.sql('CREATE TABLE shared_traced (n int); GRANT SELECT ON shared_traced TO PUBLIC');
    const read = () => pool!.query('SELECT * FROM shared_traced WHERE n = $1', [1]);
    while (pool!.snapshot().multiplex!.shared === 0) await read();
    await database.sql('ALTER TABLE shared_traced ADD m int');
    exporter.reset();
    await read();
    expect(spans().filter(({ status }) => status.code === SpanStatusCode.ERROR)).toEqual([]);
  });

  it('are reset and validated without a span', async () => {
    instrument();
    open({ validateAfterIdleMs: 0 });
    const client = await pool!.connect();
    await client.query('BEGIN');
    await client.query('SET search_path TO pg_catalog');
    client.release();
    (await pool!.connect()).release();
    await new Promise((resolve) => setTimeout(resolve, 5));
    (await pool!.connect()).release();
    const { counters } = pool!.snapshot();
    expect(counters).toMatchObject({ rollbacks: 1, resets: 1, validations: expect.any(Number) });
    expect(counters.validations).toBeGreaterThan(0);
    expect(spans().map(({ name }) => name.split(' ')[0])).toEqual([
      'pg.connect',
      'pg.query:BEGIN',
      'pg.query:SET',
    ]);
  });

  it('get their application_name back after the trace context, without DISCARD ALL', async () => {
    instrument({ enableTraceContextPropagation: true });
    open({ validateAfterIdleMs: 0 });
    const nameNow = async () =>
      (
        await database.sql<{ name: string }>(
          `SELECT application_name AS name FROM pg_stat_activity
           WHERE pid <> pg_backend_pid() AND datname = current_database()`,
        )
      ).map(({ name }) => name);
    for (let round = 0; round < 3; round += 1) {
      const client = await pool!.connect();
      const { rows } = await inSpan(() => client.query<{ name: string }>(NAME));
      expect(rows[0]!.name).toMatch(TRACEPARENT);
      // A query runner would keep a connection whose session has changed.
      expect(client.isSessionChanged).toBe(false);
      client.release();
      // The next acquire waits for the reset of the last lease.
      (await pool!.connect()).release();
      expect(await nameNow()).toEqual(['mine']);
    }
    await inSpan(() => pool!.query('SELECT 1'));
    expect(pool!.snapshot().counters).toMatchObject({ created: 1, resets: 0, rollbacks: 0 });
  });

  it('undo other settings of a borrower, and do not take a trace context for their clean application_name', async () => {
    instrument({ enableTraceContextPropagation: true });
    open({
      onConnect: async (client: Connection) => {
        await client.query(`SET application_name = 'of the hook'`);
        await client.query(`SET search_path TO pg_catalog`);
      },
    });
    const settings = async () => {
      const client = await pool!.connect();
      undo?.();
      const { rows } = await client.ownQuery({
        text: `SELECT current_setting('application_name') AS name, current_setting('search_path') AS path`,
      });
      client.release();
      return rows;
    };
    await inSpan(() => pool!.query(`SELECT 1`));
    expect(await settings()).toEqual([{ name: 'of the hook', path: 'pg_catalog' }]);
    await inSpan(() => pool!.query(`SET search_path TO public`));
    expect(await settings()).toEqual([{ name: 'of the hook', path: 'pg_catalog' }]);
    expect(pool!.snapshot().counters).toMatchObject({ created: 1, resets: 1 });
  });

  it('are clean after statements with comments of sqlcommenter, which hide no session change', async () => {
    instrument({ addSqlCommenterCommentToQueries: true });
    open();
    await database.sql('CREATE TABLE notes (n int)');
    await database.sql('GRANT ALL ON notes TO app');
    await inSpan(async () => {
      await pool!.query('SELECT 1');
      await pool!.query('INSERT INTO notes VALUES ($1)', [1]);
      const client = await pool!.connect();
      await client.query('BEGIN');
      await client.query('SET LOCAL search_path TO pg_catalog');
      await client.query('COMMIT');
      client.release();
    });
    const client = await pool!.connect();
    await inSpan(() => client.query('SELECT 2'));
    expect(client.lastSql).toMatch(/^SELECT 2 \/\*traceparent='00-/);
    client.release();
    expect(pool!.snapshot().counters.resets).toBe(0);
    await inSpan(() => pool!.query('SET search_path TO pg_catalog'));
    const renamed = await pool!.connect();
    await inSpan(() => renamed.query(`SET application_name = 'other'`));
    expect(renamed.isSessionChanged).toBe(true);
    renamed.release();
    expect((await pool!.query<{ name: string }>(NAME)).rows[0]!.name).toBe('mine');
    expect(pool!.snapshot().counters).toMatchObject({ created: 1, resets: 1 });
  });

  it('are traced by the usual registration, in a separate process', async () => {
    const script = `
      import { createRequire } from 'node:module';
      const require = createRequire(${JSON.stringify(import.meta.url)});
      const { BasicTracerProvider, InMemorySpanExporter, SimpleSpanProcessor } = require('@opentelemetry/sdk-trace-base');
      const { PgInstrumentation } = require('@opentelemetry/instrumentation-pg');
      const exporter = new InMemorySpanExporter();
      const instrumentation = new PgInstrumentation();
      instrumentation.setTracerProvider(new BasicTracerProvider({ spanProcessors: [new SimpleSpanProcessor(exporter)] }));
      require('pg');
      const { ConnectionPool } = await import(${JSON.stringify(new URL('../../src/pool/index.ts', import.meta.url).href)});
      const pool = new ConnectionPool({ connectionString: process.env.POOL_URL });
      await pool.query('SELECT 1');
      await pool.end();
      console.log(exporter.getFinishedSpans().map(({ name }) => name.split(' ')[0]).join());
    `;
    expect(await runScript(script, { POOL_URL: database.url })).toEqual({
      output: 'pg.connect,pg.query:SELECT\n',
      exitCode: 0,
    });
  });
});
