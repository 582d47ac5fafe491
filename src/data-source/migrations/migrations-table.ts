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

  /** In the order of their execution; empty without the table. */
  async executed(): Promise<ExecutedMigration[]> {
    const executed = await this.#executor.getExecutedMigrations();
    return executed
      .map(({ id, name, timestamp }) => ({ id: id ?? 0, name, timestamp }))
      .sort((one, other) => one.id - other.id);
  }

  async insert(migration: LoadedMigration): Promise<void> {
    await this.#executor.insertMigration(typeOrmMigration(migration));
  }

  async delete(migration: LoadedMigration): Promise<void> {
    await this.#executor.deleteMigration(typeOrmMigration(migration));
  }
}
