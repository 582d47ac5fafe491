import type { ManagedDataSource } from './data-source/managed-data-source.js';
import type { MigrationSqlOptions } from './migrations/offline/write-migration-sql.js';
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

const load = () => import('./migrations/tools.js');

/**
 * Gives a data source the tools of its own build of this package: connections and scopes of one build are unknown to the other one. The
 * code of the tools is loaded when a command uses it, and never by an app.
 */
export function provideMigrationTools(dataSource: ManagedDataSource): ManagedDataSource {
  const tools: MigrationTools = {
    compareSchema: async () => (await load()).compareSchema(dataSource),
    writeSql: async (options) => (await load()).writeMigrationSql(dataSource, options),
  };
  return Object.defineProperty(dataSource, TOOLS, { value: tools });
}

/** The tools of a data source; undefined for one that this package has not created. */
export function migrationToolsOf(dataSource: object): MigrationTools | undefined {
  return (dataSource as { [TOOLS]?: MigrationTools })[TOOLS];
}
