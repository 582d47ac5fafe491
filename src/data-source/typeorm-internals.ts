import * as typeorm from 'typeorm';
import { CannotExecuteNotConnectedError } from 'typeorm';
import type { DataSource, EntityManager, Logger, MigrationExecutor, QueryRunner } from 'typeorm';
import type { Query } from 'typeorm/driver/Query.js';
import type { PostgresDriver } from 'typeorm/driver/postgres/PostgresDriver.js';
import type { PostgresQueryRunner } from 'typeorm/driver/postgres/PostgresQueryRunner.js';

/**
 * All parts of TypeORM that this package uses and TypeORM does not document: deep imports, fields that TypeORM itself writes, and the
 * texts of its statements. `typeorm-internals.spec.ts` checks each of them against the installed version.
 */
export { PostgresDriver } from 'typeorm/driver/postgres/PostgresDriver.js';
export { PostgresQueryRunner } from 'typeorm/driver/postgres/PostgresQueryRunner.js';
export { QueryResult } from 'typeorm/query-runner/QueryResult.js';
export type { Query as BuiltQuery } from 'typeorm/driver/Query.js';
export type { IsolationLevel } from 'typeorm/driver/types/IsolationLevel.js';
export type { ReadStream } from 'typeorm/platform/PlatformTools.js';

/** Members that TypeORM declares as read-only or protected. */
interface DataSourceFields {
  isInitialized: boolean;
}
interface QueryRunnerFields {
  databaseConnection: unknown;
  databaseConnectionPromise: Promise<unknown> | undefined;
}

/** Sets what `initialize()` and `destroy()` of TypeORM set. */
export function setInitialized(dataSource: DataSource, isInitialized: boolean): void {
  (dataSource as DataSourceFields).isInitialized = isInitialized;
}

/** Replaces the logger of the data source, and that of its options, which a derived data source copies. */
export function setLogger(dataSource: DataSource, logger: Logger): void {
  dataSource.logger = logger;
  Object.assign(dataSource.options, { logger });
}

/**
 * Creates `runner.manager` when it is first read. `DataSource.createQueryRunner()` of TypeORM creates one for each runner, and most
 * statements never use it. An assignment, which TypeORM's entity manager makes, replaces it.
 */
export function defineManager<R extends PostgresQueryRunner>(
  runnerClass: new (...args: never[]) => R,
  create: (runner: R) => EntityManager,
): void {
  const MANAGER = Symbol('manager');
  type WithManager = R & { [MANAGER]?: EntityManager };
  Object.defineProperty(runnerClass.prototype, 'manager', {
    configurable: true,
    get(this: WithManager) {
      return (this[MANAGER] ??= create(this));
    },
    set(this: WithManager, manager: EntityManager) {
      this[MANAGER] = manager;
    },
  });
}

/** The methods of a query runner that build statements about TypeORM's table of metadata. */
const METADATA_METHODS = [
  'selectTypeormMetadataSql',
  'insertTypeormMetadataSql',
  'updateTypeormMetadataSql',
  'deleteTypeormMetadataSql',
] as const;

/** Lets `change` see each statement about TypeORM's table of metadata before the query runners of this class send it. */
export function changeMetadataStatements<R extends PostgresQueryRunner>(
  runnerClass: new (...args: never[]) => R,
  change: (runner: R, query: Query) => Query,
): void {
  type Build = (this: R, ...args: unknown[]) => Query;
  const prototype = runnerClass.prototype as unknown as Partial<Record<string, Build>>;
  for (const name of METADATA_METHODS) {
    const build = prototype[name];
    // TypeORM 0.3 has no update.
    if (!build) continue;
    prototype[name] = function (...args) {
      return change(this, build.apply(this, args));
    };
  }
}

/** Sends what `PostgresDriver.afterConnect()` sends on a connection: the extensions that entities and options need. */
export async function installExtensions(
  driver: PostgresDriver,
  connection: { query(sql: string): Promise<{ rows: object[] }> },
): Promise<void> {
  type Steps = {
    obtainMasterConnection(): Promise<[unknown, () => Promise<void>]>;
    executeQuery(connection: unknown, sql: string): Promise<unknown>;
  };
  const steps: Steps = {
    obtainMasterConnection: () => Promise.resolve([connection, () => Promise.resolve()]),
    executeQuery: (_connection, sql) => connection.query(sql),
  };
  await driver.afterConnect.call(Object.assign(Object.create(driver) as PostgresDriver, steps));
}

/** Sets what `PostgresQueryRunner.connect()` sets: TypeORM, and code that extends it, read the connection there. */
export function setConnection(
  runner: PostgresQueryRunner,
  connection: unknown,
  promise: Promise<unknown> | undefined,
): void {
  const fields = runner as unknown as QueryRunnerFields;
  fields.databaseConnection = connection;
  fields.databaseConnectionPromise = promise;
}

/** What a query runner remembers of the schema for `addColumn()`, `dropColumn()` and the like. */
interface SchemaCache {
  loadedTables: unknown[];
  loadedViews: unknown[];
  cachedTablePaths: Record<string, string>;
}

/** Makes the query runner read tables and views from the database again: it does not see what `query()` and a rollback change. */
export function forgetSchema(runner: QueryRunner): void {
  Object.assign(runner, { loadedTables: [], loadedViews: [], cachedTablePaths: {} } satisfies SchemaCache);
}

/** Sets the pools that `PostgresDriver.connect()` creates. */
export function setPools(driver: PostgresDriver, primary: unknown, replicas: readonly unknown[]): void {
  driver.master = primary;
  driver.slaves = [...replicas];
}

/** Sets what `PostgresDriver.connect()` queries from the server. */
export function setServerInfo(
  driver: PostgresDriver,
  { version, database, schema }: { version: string; database: string; schema: string },
): void {
  driver.version = version;
  driver.database = database;
  driver.searchSchema = schema;
  driver.schema ??= schema;
}

/** Sets what the driver reads from the server when it connects. The version is one that has all features that TypeORM looks for. */
export function assumeServer(driver: PostgresDriver, server: { database: string; schema: string }): void {
  setServerInfo(driver, { version: '18.0', ...server });
  driver.isGeneratedColumnsSupported = true;
}

/** The isolation levels of the driver; undefined in TypeORM 0.3, which has no option to check against them. */
export function supportedIsolationLevels(driver: PostgresDriver): readonly string[] | undefined {
  return (driver as { supportedIsolationLevels?: readonly string[] }).supportedIsolationLevels;
}

/** The client of a query cache holds the cache's password: `inspect(dataSource)` must not print it. */
export function hideQueryResultCache(dataSource: DataSource): void {
  Object.defineProperty(dataSource, 'queryResultCache', {
    value: dataSource.queryResultCache,
    enumerable: false,
    writable: true,
    configurable: true,
  });
}

/** Members of TypeORM's schema builder and of its executor of migrations that are not public. */
interface ExecutorMethods {
  createMigrationsTableIfNotExist(runner: QueryRunner): Promise<void>;
}
interface SchemaBuilderMethods {
  createMetadataTableIfNecessary(runner: QueryRunner): Promise<void>;
}

/** Creates the table of executed migrations unless it exists. */
export function createMigrationsTable(executor: MigrationExecutor, runner: QueryRunner): Promise<void> {
  return (executor as unknown as ExecutorMethods).createMigrationsTableIfNotExist(runner);
}

/** Creates the table of TypeORM's metadata unless it exists, if an entity needs it: views and generated columns do. */
export function createMetadataTable({ driver }: DataSource, runner: QueryRunner): Promise<void> {
  return (driver.createSchemaBuilder() as unknown as SchemaBuilderMethods).createMetadataTableIfNecessary(
    runner,
  );
}

/** Whether this is a statement by which TypeORM begins or ends a transaction or a savepoint. */
export function isTransactionControl(query: string): boolean {
  return /^(?:START|SET) TRANSACTION|^COMMIT$|^ROLLBACK|^(?:RELEASE )?SAVEPOINT/.test(query);
}

/** TypeORM 0.3 puts the argument of the constructor into the message, TypeORM 1 takes no argument. */
export function notConnectedError(): CannotExecuteNotConnectedError {
  const error = new CannotExecuteNotConnectedError();
  error.message = 'Cannot execute operation because connection is not yet established.';
  return error;
}

/** The class `Connection` of TypeORM 0.3, which `@nestjs/typeorm` uses as a token too; undefined in TypeORM 1. */
export const LegacyConnection = (typeorm as { Connection?: typeof DataSource }).Connection;
