import type { ManagedDataSource } from './data-source/managed-data-source.js';
import { writeMigrationSql } from './migrations/offline/write-migration-sql.js';
import type { MigrationSqlOptions } from './migrations/offline/write-migration-sql.js';
import { compareSchema } from './migrations/schema-diff/compare-schema.js';
import type { SchemaDifference } from './migrations/schema-diff/compare-schema.js';

/** What the command line does with a data source, beside its `migrator`. */
export interface MigrationTools {
  /** Compares the entities with the schema of the database. The data source is initialized. */
  readonly compareSchema: () => Promise<SchemaDifference>;
  /** Writes migrations as SQL. The data source need not be initialized. */
  readonly writeSql: (options: MigrationSqlOptions) => Promise<string>;
}

/** `Symbol.for`, because the command line is ESM and the data source may be of the CommonJS build. */
const TOOLS = Symbol.for('nestjs-database.migration-tools');

/** Gives a data source the tools of its own build of this package: connections and scopes of one build are unknown to the other one. */
export function provideMigrationTools(dataSource: ManagedDataSource): ManagedDataSource {
  const tools: MigrationTools = {
    compareSchema: () => compareSchema(dataSource),
    writeSql: (options) => writeMigrationSql(dataSource, options),
  };
  return Object.defineProperty(dataSource, TOOLS, { value: tools });
}

/** The tools of a data source; undefined for one that this package has not created. */
export function migrationToolsOf(dataSource: object): MigrationTools | undefined {
  return (dataSource as { [TOOLS]?: MigrationTools })[TOOLS];
}
