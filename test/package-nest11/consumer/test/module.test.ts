import { readFileSync } from 'node:fs';
import { Injectable } from '@nestjs/common';
import { ConfigModule, ConfigType, registerAs } from '@nestjs/config';
import {
  databaseConfig,
  DatabaseModule,
  DatabaseMonitor,
  getRepositoryToken,
  InjectDataSource,
  InjectEntityManager,
  InjectRepository,
} from 'nestjs-database';
import { Connection, DataSource, EntityManager, Repository } from 'typeorm';
import { Order, User } from '../src/entities';
import { emptyTable, failure, start, type Started, url } from './support';

@Injectable()
class UsersService {
  constructor(
    readonly byClass: DataSource,
    @InjectDataSource() readonly dataSource: DataSource,
    @InjectEntityManager() readonly manager: EntityManager,
    @InjectRepository(User) readonly users: Repository<User>,
    readonly connection: Connection,
  ) {}
}

describe('The module on Nest 11, TypeORM 0.3 and @nestjs/config 4', () => {
  let started: Started | undefined;

  beforeEach(() => emptyTable('users', 'id serial PRIMARY KEY, name text NOT NULL'));
  afterEach(async () => {
    await started?.module.close();
    started = undefined;
  });

  it('runs with the versions that these tests are for', () => {
    // Read as files, since the exports of TypeORM do not include its manifest.
    const versions = ['@nestjs/core', '@nestjs/config', '@nestjs/terminus', '@nestjs/typeorm', 'typeorm'].map(
      (name) =>
        readFileSync(`node_modules/${name}/package.json`, 'utf8').match(/"version": "(\d+\.\d+)/)?.[1],
    );
    expect(versions).toEqual([
      expect.stringMatching(/^11\./),
      expect.stringMatching(/^4\./),
      expect.stringMatching(/^11\./),
      expect.stringMatching(/^11\./),
      '0.3',
    ]);
  });

  it('can be loaded with require in CommonJS Jest, as can its pool', () => {
    expect(typeof require).toBe('function');
    const database = require('nestjs-database') as typeof import('nestjs-database');
    const pool = require('nestjs-database/pool') as typeof import('nestjs-database/pool');
    expect(database.DatabaseModule).toBe(DatabaseModule);
    expect(new pool.DatabaseConfigError([])).toBeInstanceOf(database.DatabaseError);
    expect(require.resolve('nestjs-database')).toMatch(/dist.cjs.index\.js$/);
  });

  it('reads the environment with forRoot()', async () => {
    started = await start({ imports: [DatabaseModule.forRoot()] });
    expect(await started.module.get(DataSource).query('SELECT 1 AS one')).toEqual([{ one: 1 }]);
    expect(started.log.join('\n')).toMatch(
      /Connected to database "test_\w+" at 127\.0\.0\.1:\d+, PostgreSQL \d+/,
    );
  });

  it('accepts databaseConfig in forRootAsync, together with further options', async () => {
    started = await start({
      imports: [
        ConfigModule.forRoot({ ignoreEnvFile: true }),
        DatabaseModule.forRootAsync({
          imports: [ConfigModule.forFeature(databaseConfig)],
          inject: [databaseConfig.KEY],
          useFactory: (config: ConfigType<typeof databaseConfig>) => ({
            ...config,
            pool: { size: 1, maxOverflow: 2 },
          }),
        }),
      ],
    });
    expect(await started.module.get(DataSource).query('SELECT 1 AS one')).toEqual([{ one: 1 }]);
    expect(started.module.get(DatabaseMonitor).poolStats()).toMatchObject({ max: 3, checkedOut: 0 });
    expect(await started.module.get(DatabaseMonitor).checkConnection()).toMatchObject({ status: 'up' });
  });

  it('has in databaseConfig the factory that registerAs returns', async () => {
    const theirs = registerAs('database', () => ({}));
    expect(Object.getOwnPropertyDescriptors(databaseConfig)).toMatchObject({
      ...Object.getOwnPropertyDescriptors(theirs),
      asProvider: { value: expect.any(Function), enumerable: false, configurable: false, writable: false },
    });
    const [ours, expected] = [databaseConfig.asProvider(), theirs.asProvider()];
    expect({ ...ours, imports: [] }).toEqual({ ...expected, imports: [], useFactory: expect.any(Function) });
    const modules = await Promise.all([...ours.imports, ...expected.imports]);
    expect(modules[0].module).toBe(modules[1].module);
    expect(modules[0].exports).toEqual(modules[1].exports);
  });

  it('accepts databaseConfig.asProvider() unchanged', async () => {
    started = await start({
      imports: [
        ConfigModule.forRoot({ ignoreEnvFile: true }),
        DatabaseModule.forRootAsync(databaseConfig.asProvider()),
      ],
    });
    expect(await started.module.get(DataSource).query('SELECT 1 AS one')).toEqual([{ one: 1 }]);
  });

  it('injects repositories of forFeature, and the data source by each of its tokens', async () => {
    started = await start({
      imports: [DatabaseModule.forRoot({ autoLoadEntities: true }), DatabaseModule.forFeature([User])],
      providers: [UsersService],
    });
    const service = started.module.get(UsersService);
    await service.users.save({ name: 'Grace' });
    expect(await service.manager.countBy(User, { name: 'Grace' })).toBe(1);
    expect(service.byClass).toBe(service.dataSource);
    expect(service.manager).toBe(service.dataSource.manager);
  });

  it("injects the data source by TypeORM 0.3's class Connection as well", async () => {
    started = await start({
      imports: [DatabaseModule.forRoot({ entities: [User] }), DatabaseModule.forFeature([User])],
      providers: [UsersService],
    });
    expect(started.module.get(UsersService).connection).toBe(started.module.get(DataSource));
    expect(started.module.get(Connection)).toBe(started.module.get(DataSource));
  });

  it('has several data sources, each with a name that TypeORM 0.3 knows', async () => {
    started = await start({
      imports: [
        DatabaseModule.forRoot({ entities: [User] }),
        DatabaseModule.forRoot({ name: 'reporting', url, autoLoadEntities: true, synchronize: true }),
        DatabaseModule.forFeature([Order], 'reporting'),
      ],
    });
    const orders = started.module.get<Repository<Order>>(getRepositoryToken(Order, 'reporting') as string, {
      strict: false,
    });
    await orders.save({ total: 7 });
    expect(await orders.countBy({ total: 7 })).toBe(1);
    expect(started.module.get(DataSource).name).toBe('default');
    expect(started.module.get<DataSource>('reportingDataSource').name).toBe('reporting');
  });

  it('reports the reason for a failed start, without the password', async () => {
    const wrong = new URL(url);
    wrong.password = 'not-the-password';
    const error = await failure(start({ imports: [DatabaseModule.forRoot({ url: wrong.href })] }));
    expect(error).toMatchObject({ code: 'PASSWORD_WRONG', cause: { code: '28P01' } });
    expect(JSON.stringify(error) + String(error.stack)).not.toContain('not-the-password');
  });
});
