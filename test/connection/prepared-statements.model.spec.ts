import { afterAll, beforeAll, expect, it } from '@jest/globals';
import fc from 'fast-check';
import pg from 'pg';
import { StatementTexts } from '../../src/connection/statements/statement-texts.js';
import { Connection } from '../../src/pool/index.js';
import { createTestDatabase } from '../support/database.js';
import type { TestDatabase } from '../support/database.js';
import { until } from '../support/until.js';

let database: TestDatabase;

beforeAll(async () => {
  database = await createTestDatabase();
});
afterAll(() => database.drop());

/** A statement with a value, on the first or the second connection. */
interface Sent {
  kind: 'send' | 'outside';
  on: 0 | 1;
  text: string;
  values?: unknown[];
}
type Command = Sent | { kind: 'reset' | 'kill'; on: 0 | 1 };

const WITH_TABLE = [
  'SELECT * FROM t WHERE a > $1 ORDER BY a',
  'SELECT t.*, u.b FROM t LEFT JOIN u ON u.a = t.a WHERE t.a <> $1 ORDER BY t.a',
  'SELECT count(*)::int AS n FROM t WHERE a = $1',
  'SELECT a FROM u WHERE a = $1',
  'INSERT INTO u (a) VALUES ($1)',
  'INSERT INTO t (a) VALUES ($1) RETURNING *',
  'UPDATE u SET b = 2 WHERE a = $1',
  'DELETE FROM u WHERE a = $1 RETURNING *',
];
/** Of two mistakes in one statement, a value of the wrong type and a missing table, a prepared one reports the other. */
const WITHOUT_TABLE = [
  'SELECT 10 / $1::int AS n',
  'SELECT $1::int AS "n" /* one */',
  'SELECT $1::int AS "n" /* another */',
];
const SCHEMA = [
  'ALTER TABLE t ADD x int DEFAULT 7',
  'ALTER TABLE t DROP x',
  'ALTER TABLE t ALTER a TYPE bigint',
  'ALTER TABLE t ALTER a TYPE int',
  'ALTER TABLE u RENAME b TO c',
  'ALTER TABLE u RENAME c TO b',
  'DROP TABLE u',
  'CREATE TABLE u (a int UNIQUE, b text)',
];
const SESSION = [
  'CREATE TEMP TABLE t AS SELECT 5 AS a, 6 AS b',
  'CREATE TEMP TABLE u (a int, b int) ON COMMIT DROP',
  'DROP TABLE pg_temp.t',
  'DISCARD ALL',
  'DEALLOCATE ALL',
  'SET search_path TO other, pg_catalog',
  'RESET search_path',
];
const TRANSACTION = ['BEGIN', 'COMMIT', 'ROLLBACK', 'SAVEPOINT s', 'ROLLBACK TO s'];

const on = fc.constantFrom<0 | 1>(0, 1);
const parameterised = (texts: string[], ...values: unknown[]) =>
  fc.record({
    kind: fc.constant('send' as const),
    on,
    text: fc.constantFrom(...texts),
    values: fc.tuple(fc.constantFrom<unknown>(...values)),
  });
const simple = (...texts: string[]) =>
  fc.record({ kind: fc.constant('send' as const), on, text: fc.constantFrom(...texts) });
const command: fc.Arbitrary<Command> = fc.oneof(
  { weight: 10, arbitrary: parameterised(WITH_TABLE, 0, 1, 2, 3, null) },
  { weight: 2, arbitrary: parameterised(WITHOUT_TABLE, 0, 1, 2, null, 'x') },
  { weight: 3, arbitrary: simple(...TRANSACTION) },
  { weight: 2, arbitrary: simple(...SCHEMA) },
  { weight: 1, arbitrary: simple(...SESSION) },
  {
    weight: 1,
    arbitrary: fc.record({ kind: fc.constant('outside' as const), on, text: fc.constantFrom(...SCHEMA) }),
  },
  { weight: 1, arbitrary: fc.record({ kind: fc.constantFrom('reset' as const, 'kill' as const), on }) },
);

/** Two connections to a schema of their own, and a third one that belongs to another process. */
class World {
  readonly #texts = new StatementTexts();
  #connections: Connection[] = [];
  #outside!: pg.Client;

  constructor(
    readonly name: string,
    readonly preparedStatements: false | { threshold: number; max: number },
  ) {}

  async open(): Promise<void> {
    await database.sql(`
      DROP SCHEMA IF EXISTS ${this.name} CASCADE;
      CREATE SCHEMA ${this.name} AUTHORIZATION app;
      SET search_path TO ${this.name};
      CREATE TABLE t (a int, b int); INSERT INTO t VALUES (1, 1), (2, 2);
      CREATE TABLE u (a int UNIQUE, b text); INSERT INTO u VALUES (1, 'one');
      ALTER TABLE t OWNER TO app; ALTER TABLE u OWNER TO app;
      RESET search_path`);
    this.#outside = new pg.Client({ connectionString: database.url, options: this.#options });
    await this.#outside.connect();
    this.#connections = await Promise.all([0, 1].map(() => this.#connect()));
  }

  /** A statement that waits for a lock of the other connection fails soon. */
  get #options(): string {
    return `-c search_path=${this.name} -c lock_timeout=25`;
  }

  async #connect(): Promise<Connection> {
    const connection = new Connection({
      connectionString: database.url,
      options: this.#options,
      preparedStatements: this.preparedStatements,
      statementTexts: this.#texts,
    });
    connection.on('error', () => undefined);
    await connection.connect();
    connection.finishSetup();
    return connection;
  }

  status(at: 0 | 1): string | null {
    return this.#connections[at]!.transactionStatus;
  }

  async run(given: Command): Promise<unknown> {
    const connection = this.#connections[given.on]!;
    switch (given.kind) {
      case 'send': {
        const outcome = await outcomeOf(connection, given.text, given.values);
        // `pg` reports an error before the server reports the status of the transaction.
        await connection.whenReadyForQuery();
        return outcome;
      }
      case 'outside':
        return outcomeOf(this.#outside, given.text);
      case 'reset':
        await connection.reset('smart', 5_000);
        return connection.transactionStatus;
      case 'kill': {
        const { processID } = connection as unknown as { processID: number };
        const ended = new Promise((resolve) => connection.once('end', resolve));
        await database.sql('SELECT pg_terminate_backend($1)', [processID]);
        await ended;
        this.#connections[given.on] = await this.#connect();
        return 'killed';
      }
    }
  }

  async close(): Promise<void> {
    await Promise.all([...this.#connections.map((connection) => connection.close()), this.#outside.end()]);
  }
}

/** How many sessions the worlds have on the server. */
async function sessions(): Promise<number> {
  const [row] = await database.sql<{ n: number }>(
    'SELECT count(*)::int AS n FROM pg_stat_activity WHERE datname = current_database() AND usename = $1',
    ['app'],
  );
  return row!.n;
}

/** What the caller sees of a statement. */
async function outcomeOf(client: pg.Client, text: string, values?: unknown[]): Promise<unknown> {
  try {
    const { rows, rowCount, command: tag, fields } = await client.query(text, values);
    const columns = fields.map(({ name, dataTypeID, dataTypeModifier, format }) => [
      name,
      dataTypeID,
      dataTypeModifier,
      format,
    ]);
    return { rows: rows as unknown, rowCount, tag, columns };
  } catch (error) {
    const { code, message, position, detail, hint, severity } = error as pg.DatabaseError;
    // A statement that is parsed waits for a lock while its text is read, which has a position; a prepared one does not.
    const place = code === '55P03' ? undefined : position;
    return { code, message: message.replaceAll(/world_\w+/g, 'world'), place, detail, hint, severity };
  }
}

it('Statements have the same answers and errors with prepared statements as without', async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.constantFrom(1, 2),
      fc.constantFrom(2, 256),
      fc.array(command, { minLength: 5, maxLength: 40 }),
      async (threshold, max, commands) => {
        const worlds = [
          new World('world_plain', false),
          new World('world_prepared', { threshold, max }),
        ] as const;
        const [plain, prepared] = worlds;
        await Promise.all(worlds.map((world) => world.open()));
        try {
          for (const given of commands) {
            const [expected, actual] = await Promise.all(worlds.map((world) => world.run(given)));
            const { code, hint } = actual as { code?: string; hint?: string };
            if (code === '0A000' && hint?.includes('Retry the transaction')) {
              // The one difference: another process has changed the schema, and this transaction has to be tried again.
              expect(plain.status(given.on)).not.toBe('I');
              expect(prepared.status(given.on)).toBe('E');
              await Promise.all(
                worlds.map((world) => world.run({ kind: 'send', on: given.on, text: 'ROLLBACK' })),
              );
              // What the plain transaction has done is undone with it.
              continue;
            }
            expect(actual).toEqual(expected);
            expect(prepared.status(given.on)).toBe(plain.status(given.on));
          }
        } finally {
          await Promise.all(worlds.map((world) => world.close()));
          // The sessions end later than their sockets. Those of many runs would exceed max_connections.
          await until(async () => (await sessions()) === 0);
        }
      },
    ),
    { numRuns: Number(process.env.PREPARED_STATEMENTS_RUNS ?? 40), timeout: 20_000 },
  );
}, 600_000);
