import { DatabaseModule, type DatabaseModuleOptions } from 'nestjs-database';
import { DataSource, type DataSourceOptions } from 'typeorm';
import { User } from '../src/entities';
import { emptyTable, failure, sql, start, type Started, url } from './support';

describe('The data source on TypeORM 0.3', () => {
  const second = `${new URL(url).pathname.slice(1)}_second`;
  const secondUrl = url.replace(new URL(url).pathname, `/${second}`);
  let started: Started | undefined;

  const open = async (options: DatabaseModuleOptions) => {
    started = await start({ imports: [DatabaseModule.forRoot({ entities: [User], ...options })] });
    return started.module.get(DataSource);
  };
  const databaseOf = async (dataSource: DataSource) =>
    ((await dataSource.query('SELECT current_database() AS name')) as { name: string }[])[0]!.name;

  beforeAll(async () => {
    await emptyTable('users', 'id serial PRIMARY KEY, name text NOT NULL');
    await sql(`CREATE DATABASE ${second} OWNER app`);
  });
  afterEach(async () => {
    await started?.module.close();
    started = undefined;
  });
  afterAll(() => sql(`DROP DATABASE ${second} WITH (FORCE)`));

  it('that is created from the options of another one has its own pool, on the database that it names', async () => {
    const app = await open({ url });
    const derived = new DataSource({ ...app.options, database: second } as DataSourceOptions);
    await derived.initialize();
    await derived.synchronize();
    await derived.getRepository(User).save({ name: 'second' });
    await derived.transaction((manager) => manager.query('SELECT 1'));
    expect(await databaseOf(derived)).toBe(second);
    await derived.destroy();
    expect(await databaseOf(app)).not.toBe(second);
    const elsewhere = new DataSource({ ...app.options, host: 'elsewhere' } as DataSourceOptions);
    expect((await failure(elsewhere.initialize())).message).toContain('DatabaseModule.forRoot');
  });

  it.each(['verify', 'lazy'] as const)('reads from the replica with startup: %s', async (startup) => {
    const app = await open({
      startup,
      parseInt8: true,
      replication: { master: { url }, slaves: [{ url: secondUrl }] },
    });
    expect(await app.getRepository(User).find()).toMatchObject([{ name: 'second' }]);
    expect(await app.query('SELECT count(*) AS users FROM users')).toEqual([{ users: 0 }]);
  });

  it('connects to the database that setOptions() has named', async () => {
    const app = await open({ url, startup: 'off' });
    expect(app.defaultReplicationModeForReads()).toBe('slave');
    app.setOptions({ database: second } as Partial<DataSourceOptions>);
    await app.initialize();
    expect(await databaseOf(app)).toBe(second);
  });
});
