import { MigrationExecutor } from 'typeorm';
import type { ManagedDataSource } from '../../data-source/managed-data-source.js';
import {
  createMetadataTable,
  createMigrationsTable,
  installExtensions,
  PostgresQueryRunner,
} from '../../data-source/typeorm-internals.js';
import type { BuiltQuery, PostgresDriver } from '../../data-source/typeorm-internals.js';

/** The query runner with which TypeORM creates its own tables in a database that has none. */
class OwnTablesRunner extends PostgresQueryRunner {
  readonly statements: string[] = [];

  override hasTable(): Promise<boolean> {
    return Promise.resolve(false);
  }

  override getCurrentSchema(): Promise<string> {
    return Promise.resolve(this.driver.searchSchema ?? 'public');
  }

  protected override executeQueries(up: BuiltQuery | BuiltQuery[]): Promise<void> {
    for (const { query } of Array.isArray(up) ? up : [up]) this.statements.push(query);
    return Promise.resolve();
  }
}

/** The tables of a data source in which TypeORM keeps executed migrations and metadata, as statements that create missing ones. */
export async function ownTables(dataSource: ManagedDataSource): Promise<string[]> {
  const runner = new OwnTablesRunner(dataSource.driver as PostgresDriver, 'master');
  await createMigrationsTable(new MigrationExecutor(dataSource, runner), runner);
  await createMetadataTable(dataSource, runner);
  return runner.statements.map((text) => `${text.replace(/^CREATE TABLE /, 'CREATE TABLE IF NOT EXISTS ')};`);
}

/** The extensions that a start of the data source installs, as statements. */
export async function ownExtensions(dataSource: ManagedDataSource): Promise<string[]> {
  const statements: string[] = [];
  const { extensions = [] } = dataSource.driver.options as { extensions?: string[] };
  await installExtensions(dataSource.driver as PostgresDriver, {
    query: (text) => {
      if (text.startsWith('CREATE EXTENSION')) statements.push(`${text};`);
      // The option names extensions; TypeORM asks which of them the server has.
      return Promise.resolve({ rows: extensions.map((name) => ({ name })) });
    },
  });
  return statements;
}
