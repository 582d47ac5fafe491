import { readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';

/** Loads a module by its name. */
type Load = (specifier: string) => any;

/** The part of a data source that a subclass overrides below. */
interface Overridden {
  readonly manager: unknown;
  createEntityManager(): unknown;
}

/** One part of TypeORM that this package uses and TypeORM does not document. */
interface InternalPart {
  /** As in "TypeORM 1.1.1 no longer has PostgresDriver.master". */
  readonly name: string;
  readonly isPresent: () => boolean | Promise<boolean>;
}

/**
 * Checks what `src/data-source/typeorm-internals.ts` relies on, in the TypeORM that `load` loads.
 * @returns one sentence for each part that is missing
 */
export async function missingInternals(load: Load, version: string): Promise<string[]> {
  const missing: string[] = [];
  for (const { name, isPresent } of internalParts(load)) {
    const isThere = await Promise.resolve()
      .then(isPresent)
      .catch(() => false);
    if (!isThere) missing.push(`TypeORM ${version} no longer has ${name}`);
  }
  return missing;
}

/** The version of the TypeORM that `require` loads. */
export function typeOrmVersion(require: NodeJS.Require): string {
  const manifest = join(dirname(require.resolve('typeorm')), 'package.json');
  return (JSON.parse(readFileSync(manifest, 'utf8')) as { version: string }).version;
}

function internalParts(load: Load): InternalPart[] {
  const { DataSource, EntityManager, MigrationExecutor, QueryFailedError, Table } = load('typeorm');
  const { PostgresDriver } = load('typeorm/driver/postgres/PostgresDriver.js');
  const { PostgresQueryRunner } = load('typeorm/driver/postgres/PostgresQueryRunner.js');
  const { QueryResult } = load('typeorm/query-runner/QueryResult.js');
  const connection = { query: () => Promise.resolve({ rows: [] }) };
  const newDataSource = () =>
    new DataSource({ type: 'postgres', driver: { Pool: class {} }, nativeDriver: {}, cache: true });
  const newRunner = () => new PostgresQueryRunner(newDataSource().driver, 'master');
  const newDriver = () => new PostgresDriver(newDataSource());

  /** The texts that a runner sends for a transaction with a savepoint. */
  const sentTexts = async (isolationLevel?: string) => {
    const runner = newRunner();
    const texts: string[] = [];
    runner.query = (text: string) => Promise.resolve(void texts.push(text));
    await runner.startTransaction(isolationLevel);
    await runner.startTransaction();
    await runner.rollbackTransaction();
    await runner.startTransaction();
    await runner.commitTransaction();
    await runner.rollbackTransaction();
    await runner.startTransaction();
    await runner.commitTransaction();
    return texts;
  };
  /** A driver whose `connect()` has created its pools and queried the server. */
  const connectedDriver = async () => {
    const driver = newDriver();
    driver.options = { ...driver.options, replication: { master: {}, slaves: [{}] } };
    driver.createPool = (_options: unknown, server: unknown) => Promise.resolve({ server });
    Object.assign(driver, { version: undefined, database: undefined, searchSchema: undefined });
    driver.createQueryRunner = () => ({
      getVersion: () => Promise.resolve('18.4'),
      getCurrentDatabase: () => Promise.resolve('app'),
      getCurrentSchema: () => Promise.resolve('public'),
      query: () =>
        Promise.resolve([{ version: 'PostgreSQL 18.4', current_database: 'app', current_schema: 'public' }]),
      release: () => Promise.resolve(),
    });
    await driver.connect();
    // TypeORM 0.3.20 queries the version here.
    driver.obtainMasterConnection = () => Promise.resolve([connection, () => undefined]);
    driver.checkMetadataForExtensions = () => Promise.resolve({ hasExtensions: false });
    driver.executeQuery = () => Promise.resolve({ rows: [{ version: 'PostgreSQL 18.4' }] });
    await driver.afterConnect();
    return driver;
  };
  const methods = (owner: string, prototype: any, names: string[]): InternalPart[] =>
    names.map((name) => ({
      name: `${owner}.${name}()`,
      isPresent: () => typeof prototype[name] === 'function',
    }));

  return [
    ...methods('DataSource', DataSource.prototype, [
      'buildMetadatas',
      'createEntityManager',
      'createQueryRunner',
      'destroy',
      'dropDatabase',
      'initialize',
      'query',
      'runMigrations',
      'setOptions',
      'showMigrations',
      'synchronize',
      'undoLastMigration',
    ]),
    ...methods('PostgresDriver', PostgresDriver.prototype, [
      'afterConnect',
      'connect',
      'createQueryRunner',
      'loadStreamDependency',
    ]),
    ...methods('MigrationExecutor', MigrationExecutor.prototype, [
      'createMigrationsTableIfNotExist',
      'deleteMigration',
      'getExecutedMigrations',
      'insertMigration',
    ]),
    {
      name: 'RdbmsSchemaBuilder.createMetadataTableIfNecessary()',
      isPresent: () => typeof newDriver().createSchemaBuilder().createMetadataTableIfNecessary === 'function',
    },
    ...methods('PostgresQueryRunner', PostgresQueryRunner.prototype, [
      'commitTransaction',
      'connect',
      'deleteTypeormMetadataSql',
      'executeQueries',
      'getCurrentDatabase',
      'getCurrentSchema',
      'getVersion',
      'insertTypeormMetadataSql',
      'query',
      'release',
      'rollbackTransaction',
      'selectTypeormMetadataSql',
      'startTransaction',
      'stream',
    ]),
    {
      name: 'PostgresQueryRunner.updateTypeormMetadataSql(), since TypeORM 1',
      isPresent: () =>
        'updateTypeormMetadataSql' in PostgresQueryRunner.prototype || 'Connection' in load('typeorm'),
    },
    {
      name: 'PostgresQueryRunner.executeQueries(), by which createTable() sends its statements, and the text SELECT current_schema()',
      isPresent: async () => {
        const runner = newRunner();
        const reads: string[] = [];
        const sent: unknown[] = [];
        runner.query = (text: string) => {
          reads.push(text);
          return Promise.resolve([{ current_schema: 'public' }]);
        };
        runner.executeQueries = (up: { query: string; parameters?: unknown[] }[]) => {
          sent.push(...up.map(({ query, parameters = [] }) => [query.split('(')[0], parameters[0]]));
          return Promise.resolve();
        };
        runner.driver.database = 'app';
        const column = { name: 'a', type: 'int', generatedType: 'STORED', asExpression: '1' };
        await runner.createTable(new Table({ name: 't', columns: [column] }));
        return (
          reads.join() === 'SELECT current_schema()' &&
          JSON.stringify(sent) ===
            '[["INSERT INTO \\"typeorm_metadata\\"","app"],["CREATE TABLE \\"t\\" ",null]]'
        );
      },
    },
    {
      name: 'PostgresDriver.isGeneratedColumnsSupported, and afterConnect(), which sends by executeQuery() on what obtainMasterConnection() returns',
      isPresent: async () => {
        const driver = newDriver();
        const sent: unknown[] = [];
        driver.version = '18.0';
        driver.obtainMasterConnection = () => Promise.resolve([connection, () => Promise.resolve()]);
        driver.checkMetadataForExtensions = () =>
          Promise.resolve({ hasExtensions: true, hasUuidColumns: true });
        driver.executeQuery = (on: unknown, text: string) => Promise.resolve(void sent.push(on, text));
        await driver.afterConnect();
        return (
          driver.isGeneratedColumnsSupported === true &&
          sent[0] === connection &&
          sent[1] === 'CREATE EXTENSION IF NOT EXISTS "uuid-ossp"' &&
          sent.length === 2
        );
      },
    },
    {
      name: 'PostgresQueryRunner.manager, which its constructor leaves to the prototype',
      isPresent: () => !('manager' in newRunner()),
    },
    {
      name: 'EntityManager, which assigns itself to the manager of its query runner',
      isPresent: () => {
        const runner = newRunner();
        return new EntityManager(newDataSource(), runner) === runner.manager;
      },
    },
    {
      name: 'DataSource.driver, made by its constructor',
      isPresent: () => newDataSource().driver instanceof PostgresDriver,
    },
    {
      name: 'DataSource.manager, made by createEntityManager() in its constructor',
      isPresent: () => {
        let made: unknown;
        class Overriding extends (DataSource as new (options: object) => Overridden) {
          override createEntityManager() {
            return (made = super.createEntityManager());
          }
        }
        const dataSource = new Overriding({ type: 'postgres', driver: { Pool: class {} }, nativeDriver: {} });
        return made instanceof EntityManager && dataSource.manager === made;
      },
    },
    {
      name: 'DataSource.isInitialized, which destroy() reads',
      isPresent: async () => {
        const dataSource = newDataSource();
        dataSource.driver.disconnect = () => Promise.resolve();
        dataSource.queryResultCache = undefined;
        const isRefused = await dataSource.destroy().then(
          () => false,
          () => true,
        );
        dataSource.isInitialized = true;
        await dataSource.destroy();
        return isRefused && dataSource.isInitialized === false;
      },
    },
    {
      name: 'DataSource.queryResultCache',
      isPresent: () => typeof newDataSource().queryResultCache?.connect === 'function',
    },
    {
      name: 'DataSource.logger and DataSource.options.logger',
      isPresent: () => {
        const logger = { logQuery: () => undefined };
        const dataSource = new DataSource({
          type: 'postgres',
          driver: { Pool: class {} },
          nativeDriver: {},
          logger,
        });
        return dataSource.logger === logger && dataSource.options.logger === logger;
      },
    },
    {
      name: 'DataSource.subscribers and DataSource.entityMetadatas',
      isPresent: () => {
        const { subscribers, entityMetadatas } = newDataSource();
        return Array.isArray(subscribers) && Array.isArray(entityMetadatas);
      },
    },
    {
      name: 'PostgresDriver.master',
      isPresent: async () => (await connectedDriver()).master !== undefined,
    },
    {
      name: 'PostgresDriver.slaves',
      isPresent: async () => (await connectedDriver()).slaves.length === 1,
    },
    ...['version', 'database', 'searchSchema', 'schema'].map((name) => ({
      name: `PostgresDriver.${name}`,
      isPresent: async () => typeof (await connectedDriver())[name] === 'string',
    })),
    {
      name: 'PostgresDriver.options',
      isPresent: () => newDriver().options.type === 'postgres',
    },
    {
      name: 'PostgresQueryRunner.databaseConnection, which connect() reads',
      isPresent: async () => {
        const runner = newRunner();
        runner.databaseConnection = connection;
        return (await runner.connect()) === connection;
      },
    },
    {
      name: 'PostgresQueryRunner.databaseConnectionPromise, which connect() reads',
      isPresent: async () => {
        const runner = newRunner();
        runner.databaseConnectionPromise = Promise.resolve(connection);
        return (await runner.connect()) === connection;
      },
    },
    {
      name: 'PostgresQueryRunner.isReleased',
      isPresent: async () => {
        const runner = newRunner();
        const isOpen = runner.isReleased === false;
        await runner.release();
        return isOpen && runner.isReleased === true;
      },
    },
    {
      name: 'PostgresQueryRunner.isTransactionActive and transactionDepth',
      isPresent: async () => {
        const runner = newRunner();
        runner.query = () => Promise.resolve();
        const before = [runner.isTransactionActive, runner.transactionDepth];
        await runner.startTransaction();
        const after = [runner.isTransactionActive, runner.transactionDepth];
        return before.join() === 'false,0' && after.join() === 'true,1';
      },
    },
    {
      name: 'PostgresQueryRunner.broadcaster.broadcast()',
      isPresent: () => typeof newRunner().broadcaster.broadcast === 'function',
    },
    {
      name: 'PostgresQueryRunner.driver',
      isPresent: () => newRunner().driver instanceof PostgresDriver,
    },
    {
      name: 'PostgresQueryRunner.loadedTables, loadedViews and cachedTablePaths, from which getCachedTable() and getCachedView() answer',
      isPresent: async () => {
        const runner = newRunner();
        let reads = 0;
        runner.loadTables = () => Promise.resolve([new Table({ name: `t${(reads += 1)}` })]);
        runner.loadViews = () => Promise.resolve([{ name: 'v', version: (reads += 1) }]);
        await Promise.all([runner.getCachedTable('t'), runner.getCachedView('v')]);
        const { loadedTables, loadedViews, cachedTablePaths } = runner;
        const isKnown =
          loadedTables[0].name === 't1' && loadedViews[0].version === 2 && cachedTablePaths.t === 't1';
        Object.assign(runner, { loadedTables: [], loadedViews: [], cachedTablePaths: {} });
        const [table, view] = [await runner.getCachedTable('t'), await runner.getCachedView('v')];
        return isKnown && table.name === 't3' && view.version === 4;
      },
    },
    {
      name: 'EntityManager.queryRunner, the argument of its constructor',
      isPresent: () => {
        const runner = newRunner();
        return new EntityManager(newDataSource(), runner).queryRunner === runner;
      },
    },
    {
      name: 'QueryResult.raw, records and affected',
      isPresent: () => {
        const result = new QueryResult();
        return Array.isArray(result.records) && !Object.hasOwn(Object.getPrototypeOf(result), 'raw');
      },
    },
    {
      name: 'QueryFailedError.query, parameters and driverError',
      isPresent: () => {
        const driverError = new Error('failed');
        const error = new QueryFailedError('SELECT 1', [1], driverError);
        return error.query === 'SELECT 1' && error.parameters[0] === 1 && error.driverError === driverError;
      },
    },
    {
      name: 'the texts of START TRANSACTION, COMMIT and ROLLBACK',
      isPresent: async () => {
        const texts = await sentTexts('SERIALIZABLE');
        const isKnown = (text: string) =>
          /^(?:START|SET) TRANSACTION|^COMMIT$|^ROLLBACK|^(?:RELEASE )?SAVEPOINT/.test(text);
        return (
          texts.every(isKnown) &&
          texts[0] === 'START TRANSACTION' &&
          texts.includes('ROLLBACK') &&
          texts.at(-1) === 'COMMIT'
        );
      },
    },
  ];
}
