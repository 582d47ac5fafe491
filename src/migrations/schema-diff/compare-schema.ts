import type { ManagedDataSource } from '../../data-source/managed-data-source.js';
import { withDirectConnection } from '../../data-source/pooler/direct-connection.js';

/** A statement of TypeORM's schema builder. */
export interface SchemaStatement {
  readonly sql: string;
  readonly parameters: readonly unknown[];
}

/** What differs between the entities and the schema of the database. */
export interface SchemaDifference {
  /** The statements that make the schema that of the entities, in their order. Empty if both agree. */
  readonly up: readonly SchemaStatement[];
  /** The statements that undo them, in their order. */
  readonly down: readonly SchemaStatement[];
}

/** Compares the entities with the schema of the database, as `synchronize()` does. Changes nothing; uses a direct connection if there is one. */
export async function compareSchema(dataSource: ManagedDataSource): Promise<SchemaDifference> {
  const { settings, loggers, direct } = dataSource.pools;
  // The first statement of a lazy data source queries version and schema, which a statement on the direct connection does not.
  await dataSource.lifecycle.readyPool();
  return withDirectConnection(settings, loggers.pool, direct, async () => {
    const { upQueries, downQueries } = await dataSource.driver.createSchemaBuilder().log();
    return {
      up: upQueries.map(statement),
      down: downQueries.map(statement).reverse(),
    };
  });
}

function statement({ query, parameters }: { query: string; parameters?: unknown }): SchemaStatement {
  return { sql: query.trim(), parameters: Array.isArray(parameters) ? (parameters as unknown[]) : [] };
}
