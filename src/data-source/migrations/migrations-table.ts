import { MigrationExecutor } from 'typeorm';
import type { DataSource, QueryRunner } from 'typeorm';
import { createMetadataTable, createMigrationsTable } from '../typeorm-internals.js';
import type { LoadedMigration } from './loaded-migration.js';
import { typeOrmMigration } from './transaction-rule.js';

/** A migration in the table of executed migrations. */
export interface ExecutedMigration {
  readonly id: number;
  readonly name: string;
  readonly timestamp: number;
}

/** The name of the table of executed migrations, quoted, with its schema if the data source has one. */
export function migrationsTableName({ options, driver }: DataSource): string {
  const { schema } = options as { schema?: string };
  return driver
    .buildTableName(options.migrationsTableName ?? 'migrations', schema)
    .split('.')
    .map((name) => driver.escape(name))
    .join('.');
}

/** The bookkeeping of executed migrations, by the statements of TypeORM. */
export class MigrationsTable {
  readonly #dataSource: DataSource;
  readonly #executor: MigrationExecutor;
  readonly #runner: QueryRunner;

  constructor(dataSource: DataSource, runner: QueryRunner) {
    this.#dataSource = dataSource;
    this.#runner = runner;
    this.#executor = new MigrationExecutor(dataSource, runner);
  }

  /** Creates the table, and the table of TypeORM's metadata if an entity needs it. */
  async createIfMissing(): Promise<void> {
    await createMigrationsTable(this.#executor, this.#runner);
    await createMetadataTable(this.#dataSource, this.#runner);
  }

  /**
   * In the order of their execution; empty without the table.
   * @throws QueryFailedError if the role may not read the table: TypeORM takes it for missing then, and all migrations for pending
   */
  async executed(): Promise<ExecutedMigration[]> {
    interface Row {
      id: number;
      name: string;
      /** A bigint. */
      timestamp: string | number;
    }
    const table = migrationsTableName(this.#dataSource);
    const [found] = (await this.#runner.query('SELECT to_regclass($1) IS NOT NULL AS exists', [table])) as {
      exists: boolean;
    }[];
    if (!found?.exists) return [];
    const rows = (await this.#runner.query(
      `SELECT "id", "name", "timestamp" FROM ${table} ORDER BY "id"`,
    )) as Row[];
    return rows.map(({ id, name, timestamp }) => ({ id, name, timestamp: Number(timestamp) }));
  }

  async insert(migration: LoadedMigration): Promise<void> {
    await this.#executor.insertMigration(typeOrmMigration(migration));
  }

  async delete(migration: LoadedMigration): Promise<void> {
    await this.#executor.deleteMigration(typeOrmMigration(migration));
  }
}
