import type { DataSource, ObjectLiteral, QueryRunner } from 'typeorm';
import {
  changeMetadataStatements,
  PostgresQueryRunner,
  QueryResult,
} from '../../data-source/typeorm-internals.js';
import type { BuiltQuery, PostgresDriver, ReadStream } from '../../data-source/typeorm-internals.js';
import { readsOnlyCatalogue } from './catalogue-statement.js';
import { CURRENT_DATABASE } from './literals.js';
import { RecordingEntityManager } from './recording-entity-manager.js';
import type { Recording } from './recording.js';
import { refuseAffected, unknownResult } from './unknown-result.js';

/**
 * TypeORM's query runner, which records instead of sending. Its `query()` serves the builder methods of TypeORM (`createTable()`,
 * `addColumn()`): their SELECTs read the catalogue, their other statements are effects. Migrations get a {@link migrationQueryRunner}.
 */
export class RecordingQueryRunner extends PostgresQueryRunner {
  readonly #recording: Recording;

  constructor(driver: PostgresDriver, recording: Recording) {
    super(driver, 'master');
    this.#recording = recording;
  }

  /** The number of open transactions: 1, and one more for each savepoint. */
  get depth(): number {
    return this.transactionDepth;
  }

  /** Sets that the migration runs in a transaction which the file has begun. A further one is a savepoint. */
  joinTransaction(): void {
    this.isTransactionActive = true;
    this.transactionDepth = 1;
  }

  /** Ends the migration: its later statements would be part of the next one. */
  override release(): Promise<void> {
    this.isReleased = true;
    return Promise.resolve();
  }

  // eslint-disable-next-line @typescript-eslint/no-explicit-any -- TypeORM's own signature
  override async query(sql: string, parameters?: unknown[]): Promise<any> {
    if (this.isReleased) this.#recording.refuseLate(sql);
    // Known from the settings, and part of createTable(), which needs no catalogue otherwise.
    if (sql === 'SELECT current_schema()') return [{ current_schema: await this.getCurrentSchema() }];
    if (/^\s*(?:SELECT|WITH)\b/i.test(sql)) return this.#recording.readCatalogue(sql, parameters);
    this.#recording.record(sql === 'START TRANSACTION' ? 'BEGIN' : sql, parameters);
    return [];
  }

  /** A statement of the migration itself. */
  async queryOfMigration(
    sql: string,
    parameters: unknown[] | ObjectLiteral | undefined,
    isStructured: boolean,
  ): Promise<unknown> {
    // Named parameters: TypeORM refuses them, with a message that differs by version.
    if (parameters && !Array.isArray(parameters)) return super.query(sql, parameters as never);
    const recording = this.#recording;
    if (this.isReleased) recording.refuseLate(sql);
    const isRead = readsOnlyCatalogue(sql);
    if (isRead && recording.canReadCatalogue) {
      const rows = await recording.readCatalogue(sql, parameters);
      return isStructured ? structured(rows, rows, rows.length) : rows;
    }
    const refuse = recording.refusalOfUse(sql, isRead);
    if (isRead) {
      const rows = unknownResult(refuse);
      return isStructured ? structured(rows, rows, unknownResult(refuse)) : rows;
    }
    const { heads, words } = recording.record(sql, parameters);
    // TypeORM returns nothing for several statements.
    if (heads.length > 1) return isStructured ? structured(undefined, [], undefined) : undefined;
    const [head = ''] = heads;
    const hasNoRows = heads.length === 0 || (WITHOUT_ROWS.test(head) && !words.has('returning'));
    const rows = hasNoRows ? [] : unknownResult(refuse);
    const raw = /^(?:update|delete)\b/.test(head) ? unknownResult(refuse) : rows;
    return isStructured ? structured(raw, rows, unknownResult(refuse)) : raw;
  }

  /** The statements that a builder method has built. */
  protected override async executeQueries(
    up: BuiltQuery | BuiltQuery[],
    down: BuiltQuery | BuiltQuery[],
  ): Promise<void> {
    if (this.sqlMemoryMode) return super.executeQueries(up, down);
    for (const { query, parameters } of Array.isArray(up) ? up : [up]) {
      if (this.isReleased) this.#recording.refuseLate(query);
      this.#recording.record(query, parameters);
    }
  }

  override getCurrentSchema(): Promise<string> {
    return Promise.resolve(this.driver.searchSchema ?? 'public');
  }

  override getCurrentDatabase(): Promise<string> {
    return Promise.resolve(this.driver.database ?? '');
  }

  // The databases of the server with the shadow database are not those of the real one.

  override hasDatabase(): Promise<never> {
    return this.#recording.refuseMethod('hasDatabase');
  }

  override getDatabases(): Promise<never> {
    return this.#recording.refuseMethod('getDatabases');
  }

  override connect(): Promise<never> {
    return this.#recording.refuseMethod('connect');
  }

  override stream(): Promise<ReadStream> {
    return this.#recording.refuseMethod('stream');
  }
}

/** The statements that return no rows, except UPDATE, DELETE and INSERT with RETURNING. */
const WITHOUT_ROWS =
  /^(?:create|alter|drop|comment|grant|revoke|truncate|lock|set|reset|begin|start|commit|rollback|savepoint|release|do|refresh|reindex|analyze|vacuum|cluster|notify|insert|update|delete)\b/;

changeMetadataStatements(RecordingQueryRunner, ({ driver: { database } }, query) => {
  // The name of the database in which the file is executed, which may differ from the one in the settings.
  query.parameters = query.parameters?.map((value: unknown) =>
    value === database ? CURRENT_DATABASE : value,
  );
  return query;
});

function structured(raw: unknown, records: unknown, affected: unknown): QueryResult {
  return Object.assign(new QueryResult(), { raw, records, affected });
}

/**
 * The query runner that a migration gets: the builder methods of `runner`, and a `query()` whose results are refused where the migration
 * uses them and they are not known.
 */
export function migrationQueryRunner(
  dataSource: DataSource,
  runner: RecordingQueryRunner,
  recording: Recording,
): QueryRunner {
  const refuse = recording.refusalOfUse('the number of affected rows');
  // TypeORM copies `affected` into the results of its query builders, where the manager refuses its use.
  const forManager = facadeOf(runner, recording, (result) => result);
  Object.assign(runner, { manager: new RecordingEntityManager(dataSource, forManager, refuse) });
  return facadeOf(runner, recording, (result) => refuseAffected(result, refuse));
}

function facadeOf(
  runner: RecordingQueryRunner,
  recording: Recording,
  guarded: (result: unknown) => unknown,
): QueryRunner {
  const query = (sql: string, parameters?: unknown[] | ObjectLiteral, isStructured = false) =>
    recording.run('query', query, () =>
      runner.queryOfMigration(sql, parameters, isStructured).then(isStructured ? guarded : undefined),
    );
  const facade: RecordingQueryRunner = new Proxy(runner, {
    get(target, key) {
      if (key === 'query') return query;
      const value: unknown = Reflect.get(target, key, target);
      if (typeof value !== 'function') return value;
      // The template function calls query().
      const receiver = key === 'sql' ? facade : target;
      const call = (...args: unknown[]): unknown =>
        recording.run(String(key), call, () => value.apply(receiver, args) as unknown);
      return call;
    },
    set: (target, key, value) => Reflect.set(target, key, value, target),
  });
  return facade;
}
