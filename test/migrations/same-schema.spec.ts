import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, expect, it } from '@jest/globals';
import { resolveDatabaseOptions } from '../../src/config/resolve.js';
import { ManagedDataSource } from '../../src/data-source/managed-data-source.js';
import { writeMigrationSql } from '../../src/migrations/offline/write-migration-sql.js';
import type { MigrationSqlOptions } from '../../src/migrations/offline/write-migration-sql.js';
import { startPostgres } from '../support/postgres-server.js';
import type { PostgresServer } from '../support/postgres-server.js';
import { dumpOf, runSqlFile } from '../support/dump.js';
import { describeWithPostgresTools } from '../support/postgres-tools.js';
import { TemporaryFolder } from '../support/temporary-folder.js';
import { Person, TWENTY_MIGRATIONS } from './twenty-migrations.js';

const ignore = () => undefined;
const silent = { log: ignore, warn: ignore, error: ignore, debug: ignore };

describeWithPostgresTools('A database migrated by the file of migration:sql', (bin) => {
  let server: PostgresServer;
  let folder: TemporaryFolder;
  let dataSource: ManagedDataSource | undefined;

  beforeAll(async () => {
    server = await startPostgres({ bin });
    folder = TemporaryFolder.create('migrations');
  });

  afterEach(async () => {
    if (dataSource?.isInitialized) await dataSource.destroy();
  });

  afterAll(async () => {
    await server?.dispose();
    await folder?.remove();
  });

  const open = (url: string) => {
    const settings = resolveDatabaseOptions(
      { url, entities: [Person], migrations: TWENTY_MIGRATIONS },
      { env: {} },
    );
    return (dataSource = new ManagedDataSource(settings, [], {
      module: silent,
      pool: silent,
      query: silent,
    }));
  };

  /** The SQL of the data source at a server that does not exist. */
  const write = (options?: MigrationSqlOptions) =>
    writeMigrationSql(open('postgres://nobody@127.0.0.1:9/offline'), {
      shadowUrl: server.urlFor('postgres', 'postgres'),
      ...options,
    });

  const psql = async (url: string, sql: string) => {
    const file = join(folder.path, 'migrations.sql');
    await writeFile(file, sql);
    return runSqlFile(bin, file, url);
  };
  const dump = (url: string) => dumpOf(bin, url);

  it('is the one that was migrated online, up and down', async () => {
    const [online, offline] = [await server.createDatabase('online'), await server.createDatabase('offline')];
    const states: string[] = [];
    await open(online).initialize();
    await dataSource!.runMigrations({ transaction: 'each' });
    states.push(await dump(online));
    for (const _ of TWENTY_MIGRATIONS) await dataSource!.undoLastMigration();
    states.push(await dump(online));
    await dataSource!.destroy();

    const up = await write();
    await psql(offline, up);
    expect(await dump(offline)).toBe(states[0]);
    await psql(offline, await write({ down: true, to: 'Extension' }));
    await psql(offline, await write({ down: true, from: 'Extension' }));
    expect(await dump(offline)).toBe(states[1]);
  }, 120_000);
});
