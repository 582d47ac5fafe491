import { once } from 'node:events';
import { inspect } from 'node:util';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it, jest } from '@jest/globals';
import { Test } from '@nestjs/testing';
import type { TestingModule } from '@nestjs/testing';
import type { ManagedDataSource, DatabaseModuleOptions } from 'nestjs-database';
import { DatabaseModule, DatabaseMonitor } from 'nestjs-database';
import { DataSource } from 'typeorm';
import type { DataSourceOptions, QueryRunner } from 'typeorm';
import { CapturingLogger } from '../../support/capturing-logger.js';
import { createTestDatabase } from '../../support/database.js';
import type { TestDatabase } from '../../support/database.js';
import { User } from '../../support/entities.js';
import { freePort } from '../../support/ports.js';
import { startTcpProxy } from '../../support/tcp-proxy.js';
import type { TcpProxy } from '../../support/tcp-proxy.js';
import { until } from '../../support/until.js';

/** Two independent databases, so that the rows show which of them has answered. */
describe('replication', () => {
  let primary: TestDatabase;
  let replica: TestDatabase;
  let proxy: TcpProxy;
  let module: TestingModule | undefined;
  let logger: CapturingLogger;
  let warned: Promise<void>;
  let back: Promise<void>;

  const start = async (options: DatabaseModuleOptions = {}) => {
    logger = new CapturingLogger();
    warned = line('warn', 'cannot be reached');
    back = line('log', 'is back');
    module = await Test.createTestingModule({
      imports: [
        DatabaseModule.forRoot({
          entities: [User],
          ...options,
          replication: {
            master: { url: primary.url },
            slaves: [{ url: proxy.through(replica.url) }],
            ...options.replication,
          },
        }),
      ],
    })
      .setLogger(logger)
      .compile();
    return module.get<DataSource, ManagedDataSource>(DataSource);
  };
  /** Resolves when the logger has received such a line. */
  const line = (level: 'warn' | 'log', part: string) => {
    const heard = logger[level].bind(logger);
    return new Promise<void>((resolve) => {
      logger[level] = (message: unknown, ...rest: unknown[]) => {
        heard(message, ...rest);
        if (String(message).includes(part)) resolve();
      };
    });
  };
  const names = async (dataSource: DataSource) =>
    (await dataSource.getRepository(User).find({ order: { id: 'ASC' } })).map(({ name }) => name);
  const databaseOf = async (queryable: DataSource | QueryRunner) =>
    ((await queryable.query('SELECT current_database() AS name')) as { name: string }[])[0]!.name;
  const replicaLines = () => logger.lines.filter(({ message }) => /^Replica /.test(message));

  beforeAll(async () => {
    primary = await createTestDatabase();
    replica = await createTestDatabase();
    for (const database of [primary, replica])
      await database.sql(
        'CREATE TABLE users (id serial PRIMARY KEY, name text); ALTER TABLE users OWNER TO app',
      );
    proxy = await startTcpProxy({ port: Number(new URL(replica.url).port) });
  });
  beforeEach(async () => {
    for (const [database, name] of [
      [primary, 'on the primary'],
      [replica, 'on the replica'],
    ] as const)
      await database.sql(`TRUNCATE users; INSERT INTO users (name) VALUES ('${name}')`);
  });
  afterEach(async () => {
    await proxy.pass();
    await module?.close();
    module = undefined;
  });
  afterAll(async () => {
    await proxy.close();
    await primary.drop();
    await replica.drop();
  });

  it('reads from the replica; writes, queries and transactions go to the primary', async () => {
    const dataSource = await start();
    expect(await names(dataSource)).toEqual(['on the replica']);
    expect(await dataSource.createQueryBuilder(User, 'user').getCount()).toBe(1);
    await dataSource.getRepository(User).save({ name: 'new' });
    expect(await primary.sql('SELECT name FROM users ORDER BY id')).toEqual([
      { name: 'on the primary' },
      { name: 'new' },
    ]);
    expect(await replica.sql('SELECT name FROM users')).toEqual([{ name: 'on the replica' }]);
    expect(await databaseOf(dataSource)).toBe(primary.name);
    const inTransaction = await dataSource.transaction((manager) =>
      manager.find(User, { order: { id: 'ASC' } }),
    );
    expect(inTransaction.map(({ name }) => name)).toEqual(['on the primary', 'new']);
    const runner = dataSource.createQueryRunner('slave');
    expect(await databaseOf(runner)).toBe(replica.name);
    await runner.release();
  });

  it('reads from the primary with defaultMode master, and where a query asks for it', async () => {
    const dataSource = await start({
      replication: { defaultMode: 'master' } as DatabaseModuleOptions['replication'] & object,
    });
    expect(dataSource.defaultReplicationModeForReads()).toBe('master');
    expect(await names(dataSource)).toEqual(['on the primary']);
    const runner = dataSource.createQueryRunner('slave');
    expect(await dataSource.getRepository(User).createQueryBuilder('user', runner).getMany()).toMatchObject([
      { name: 'on the replica' },
    ]);
    await runner.release();
  });

  it('has a pool for each server, counts and closes all of them', async () => {
    const dataSource = await start({
      pool: { size: 1, maxOverflow: 3 },
      replication: { slaves: [{ url: replica.url }, { url: replica.url }] },
    });
    expect((dataSource.driver as unknown as { isReplicated: boolean }).isReplicated).toBe(true);
    for (let read = 0; read < 40; read++) await names(dataSource);
    const pools = [...dataSource.replicaPools];
    expect(pools.map((pool) => pool.snapshot())).toMatchObject([
      { max: 4, total: 1 },
      { max: 4, total: 1 },
    ]);
    await dataSource.destroy();
    expect(pools.map((pool) => pool.ended)).toEqual([true, true]);
    expect(dataSource.replicaPools).toEqual([]);
    await dataSource.initialize();
    expect(await names(dataSource)).toEqual(['on the replica']);
  });

  it('synchronizes and migrates on the primary', async () => {
    class AddColumn1700000000000 {
      up = (runner: QueryRunner) => runner.query('ALTER TABLE users ADD COLUMN IF NOT EXISTS added int');
      down = () => Promise.resolve();
    }
    await start({ migrations: [AddColumn1700000000000], migrationsRun: true });
    const columns = (database: TestDatabase) =>
      database.sql(
        `SELECT FROM information_schema.columns WHERE table_name = 'users' AND column_name = 'added'`,
      );
    expect(await columns(primary)).toHaveLength(1);
    expect(await columns(replica)).toHaveLength(0);
  });

  it('starts while the replica is down: the primary serves its reads, with one warning', async () => {
    await proxy.refuse();
    const dataSource = await start({ connectRetry: 0 });
    expect(await names(dataSource)).toEqual(['on the primary']);
    expect(await Promise.all([names(dataSource), names(dataSource)])).toEqual([
      ['on the primary'],
      ['on the primary'],
    ]);
    expect(replicaLines()).toEqual([
      expect.objectContaining({
        level: 'warn',
        message: expect.stringMatching(
          /^Replica database ".*" at 127\.0\.0\.1:\d+ as "app" cannot be reached: .*replication.* serve its reads/,
        ),
      }),
    ]);
  });

  it('reads from the replica again once it is available, and logs that', async () => {
    await proxy.refuse();
    const dataSource = await start();
    expect(await names(dataSource)).toEqual(['on the primary']);
    await proxy.pass();
    // Only reads start an attempt to reach it.
    const reading = setInterval(() => void names(dataSource), 50);
    await back;
    clearInterval(reading);
    expect(await names(dataSource)).toEqual(['on the replica']);
    expect(replicaLines().map(({ level }) => level)).toEqual(['warn', 'log']);
  });

  it('does not take an idle connection to the primary for the replica', async () => {
    const now = performance.now.bind(performance);
    await proxy.refuse();
    const dataSource = await start();
    expect(await names(dataSource)).toEqual(['on the primary']);
    const failures = () => dataSource.replicaPools[0]!.snapshot().counters.connectFailures;
    const before = failures();
    const later = jest.spyOn(performance, 'now').mockImplementation(() => now() + 3_000);
    // A connection that has just been used is not validated.
    await dataSource.query('SELECT 1');
    expect(await names(dataSource)).toEqual(['on the primary']);
    later.mockRestore();
    await until(() => failures() > before);
    expect(replicaLines().map(({ level }) => level)).toEqual(['warn']);
  });

  it('continues on the primary when the replica fails during service', async () => {
    const dataSource = await start();
    expect(await names(dataSource)).toEqual(['on the replica']);
    await proxy.refuse();
    for (const connection of proxy.connections) connection.reset();
    await Promise.allSettled([names(dataSource), names(dataSource)]);
    await warned;
    for (let read = 0; read < 5; read++) expect(await names(dataSource)).toEqual(['on the primary']);
    expect(replicaLines()).toHaveLength(1);
  });

  it('waits once for a silent replica and leaves time for the primary', async () => {
    // The connect timeout is longer than a read may wait.
    const dataSource = await start({ pool: { acquireTimeoutMs: 1_000 }, timeouts: { connectMs: 10_000 } });
    proxy.freeze();
    const reads = await Promise.all([names(dataSource), names(dataSource), names(dataSource)]);
    expect(reads).toEqual([['on the primary'], ['on the primary'], ['on the primary']]);
    const figures = () => {
      const { connecting, counters } = dataSource.replicaPools[0]!.snapshot();
      return { connecting, failures: counters.connectFailures };
    };
    const { failures } = figures();
    for (let read = 0; read < 10; read++) expect(await names(dataSource)).toEqual(['on the primary']);
    expect(figures()).toEqual({ connecting: 0, failures });
  });

  it('serves reads that wait behind a frozen replica from the primary', async () => {
    const dataSource = await start({ pool: { size: 1, maxOverflow: 1 }, timeouts: { connectMs: 1_000 } });
    const runner = dataSource.createQueryRunner('slave');
    await runner.connect();
    proxy.freeze();
    // The pool has capacity for one more connection, whose connect gets no answer. All reads wait.
    const reads = await Promise.all(Array.from({ length: 4 }, () => names(dataSource)));
    expect(reads).toEqual(Array.from({ length: 4 }, () => ['on the primary']));
    await proxy.pass();
    await runner.release();
  });

  it('does not move a cancelled read to the primary', async () => {
    const dataSource = await start({ pool: { size: 1, maxOverflow: 0 } });
    const before = dataSource.pool!.snapshot().counters.acquired;
    const holder = dataSource.createQueryRunner('slave');
    await holder.connect();
    const waiting = dataSource.createQueryRunner('slave');
    const read = waiting.query('SELECT 1');
    await waiting.release();
    await expect(read).rejects.toMatchObject({ code: 'POOL_ACQUIRE_CANCELLED' });
    expect(dataSource.pool!.snapshot().counters.acquired).toBe(before);
    await holder.release();
  });

  it('closes without delay while an attempt to reach a silent replica is under way', async () => {
    const now = performance.now.bind(performance);
    const dataSource = await start();
    await proxy.refuse();
    expect(await names(dataSource)).toEqual(['on the primary']);
    await proxy.pass();
    proxy.freeze();
    const arrived = once(proxy, 'connection');
    const later = jest.spyOn(performance, 'now').mockImplementation(() => now() + 3_000);
    expect(await names(dataSource)).toEqual(['on the primary']);
    later.mockRestore();
    await arrived;
    const began = now();
    await dataSource.destroy();
    expect(now() - began).toBeLessThan(4_000);
  });

  it('serves query runners that TypeORM requests from the driver', async () => {
    const dataSource = await start();
    await proxy.refuse();
    const runner = dataSource.driver.createQueryRunner('slave');
    expect(await databaseOf(runner)).toBe(primary.name);
    await runner.release();
  });

  it('chooses another replica while one is unavailable', async () => {
    const closed = new URL(replica.url);
    closed.port = String(await freePort());
    const dataSource = await start({ replication: { slaves: [{ url: closed.href }, { url: replica.url }] } });
    const seen = new Set<string>();
    for (let read = 0; read < 30; read++) seen.add((await names(dataSource))[0]!);
    expect(replicaLines()).toHaveLength(1);
    for (let read = 0; read < 10; read++) expect(await names(dataSource)).toEqual(['on the replica']);
    expect([...seen]).toContain('on the replica');
  });

  it('fails the start when the primary is down, whatever the replica', async () => {
    const closed = new URL(primary.url);
    closed.port = String(await freePort());
    await expect(
      start({ connectRetry: 0, replication: { master: { url: closed.href } } as never }),
    ).rejects.toMatchObject({ code: 'CONNECTION_REFUSED' });
  });

  it('connects with the first read when startup is lazy', async () => {
    const dataSource = await start({ startup: 'lazy' });
    expect(await names(dataSource)).toEqual(['on the replica']);
  });

  it('describes the replicas without secrets', async () => {
    const dataSource = await start();
    const { host, port } = { host: '127.0.0.1', port: proxy.port };
    expect(module!.get(DatabaseMonitor).options.replication).toEqual({
      replicas: [{ host, port, username: 'app', database: replica.name }],
      defaultMode: 'slave',
    });
    expect(logger.text).toContain('1 read replica(s)');
    const { password } = new URL(primary.url);
    for (const thing of [dataSource.settings, dataSource.options, module!.get(DatabaseMonitor).options])
      for (const text of [inspect(thing, { depth: 12, showHidden: true }), JSON.stringify(thing)])
        expect(text).not.toContain(`"${password}"`);
  });

  it('marks query runners that are leased at the end of the drain as released, on the primary and on a replica', async () => {
    const dataSource = await start({ timeouts: { shutdownMs: 50 } });
    const runners = [dataSource.createQueryRunner('master'), dataSource.createQueryRunner('slave')];
    for (const runner of runners) await runner.query('SELECT 1');
    expect(dataSource.replicaPools[0]?.leases()).toHaveLength(1);
    await dataSource.destroy();
    expect(runners.map(({ isReleased }) => isReleased)).toEqual([true, true]);
    await expect(runners[0]!.query('SELECT 1')).rejects.toThrow('already released');
  });

  it('shares connections of each server, and reads that wait for the replica move as well', async () => {
    const dataSource = await start({ pool: { size: 2, maxOverflow: 0 }, multiplex: { connections: 1 } });
    const users = dataSource.getRepository(User);
    const read = async () => (await users.findOneBy({ id: 1 }))?.name;
    const readInParallel = () => Promise.all(Array.from({ length: 60 }, read));
    for (const database of [primary, replica]) await database.sql('UPDATE users SET id = 1');
    const replicaPool = dataSource.replicaPools[0]!;
    const sharedBy = (pool: typeof replicaPool) => pool.snapshot().multiplex!.shared;
    await until(async () => (await read()) === 'on the replica' && sharedBy(replicaPool) > 0);
    const acquired = replicaPool.snapshot().counters.acquired;
    expect(new Set(await readInParallel())).toEqual(new Set(['on the replica']));
    // 16 in flight, one on the other connection, and 43 that waited.
    expect(replicaPool.snapshot().counters.acquired - acquired).toBeLessThan(30);
    await proxy.refuse();
    for (const connection of proxy.connections) connection.reset();
    await Promise.allSettled([read()]);
    await until(async () => (await read()) === 'on the primary' && sharedBy(dataSource.pool!) > 0);
    expect(new Set(await readInParallel())).toEqual(new Set(['on the primary']));
  });

  it('is not inherited by a data source created from its options, which uses the primary alone', async () => {
    const dataSource = await start();
    const derived = new DataSource({ ...dataSource.options, database: replica.name } as DataSourceOptions);
    await derived.initialize();
    expect((derived.driver as unknown as { isReplicated: boolean }).isReplicated).toBe(false);
    expect(await databaseOf(derived)).toBe(replica.name);
    await derived.destroy();
  });
});
