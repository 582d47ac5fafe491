import { afterAll, afterEach, beforeAll, describe, expect, it } from '@jest/globals';
import { Controller, Get, Injectable, Module } from '@nestjs/common';
import type { ArgumentsHost } from '@nestjs/common';
import { ConfigModule } from '@nestjs/config';
import type { ConfigType } from '@nestjs/config';
import { Test } from '@nestjs/testing';
import type { TestingModule } from '@nestjs/testing';
import {
  databaseConfig,
  DatabaseConfigError,
  DatabaseModule,
  DatabaseMonitor,
  getDataSourceToken,
  getRepositoryToken,
  InjectDataSource,
  InjectEntityManager,
  InjectQueryRunner,
  InjectRepository,
} from 'nestjs-database';
import type { DatabaseError, DatabaseModuleOptions, DatabaseOptionsFactory } from 'nestjs-database';
import { DataSource, EntityManager, Repository } from 'typeorm';
import type { QueryRunner } from 'typeorm';
import { CapturingLogger } from '../support/capturing-logger.js';
import { createTestDatabase } from '../support/database.js';
import type { TestDatabase } from '../support/database.js';
import { Order, TagSchema, User } from '../support/entities.js';
import type { Tag } from '../support/entities.js';

describe('DatabaseModule', () => {
  let database: TestDatabase;
  let second: TestDatabase;
  let module: TestingModule | undefined;
  const environment = { ...process.env };

  beforeAll(async () => {
    database = await createTestDatabase();
    second = await createTestDatabase();
  });
  afterEach(async () => {
    await module?.close();
    module = undefined;
    process.env = { ...environment };
  });
  afterAll(async () => {
    await database.drop();
    await second.drop();
  });

  const compile = async (imports: any[], providers: any[] = []) =>
    (module = await Test.createTestingModule({ imports, providers })
      .setLogger(new CapturingLogger())
      .compile());
  const current = async (dataSource: DataSource) =>
    (await dataSource.query<{ name: string }[]>('SELECT current_database() AS name'))[0]?.name;

  describe('forRoot', () => {
    it('reads the environment when the app starts, not when a file is imported', async () => {
      const dynamic = DatabaseModule.forRoot();
      process.env.DB_URL = database.url;
      await compile([dynamic]);
      expect(await current(module!.get(DataSource))).toBe(database.name);
    });

    it('ignores the environment when code gives a URL', async () => {
      process.env.DB_URL = 'mysql://nowhere';
      await compile([DatabaseModule.forRoot({ url: database.url })]);
      expect(await current(module!.get(DataSource))).toBe(database.name);
    });

    it('accepts host, port, username, password and database instead of a URL', async () => {
      const url = new URL(database.url);
      await compile([
        DatabaseModule.forRoot({
          type: 'postgres',
          host: url.hostname,
          port: Number(url.port),
          username: url.username,
          password: url.password,
          database: database.name,
        }),
      ]);
      expect(await current(module!.get(DataSource))).toBe(database.name);
    });

    it('adds options from code to those of the environment', async () => {
      process.env.DB_URL = database.url;
      process.env.DB_POOL_SIZE = '3';
      process.env.DB_MAX_OVERFLOW = '1';
      await compile([DatabaseModule.forRoot({ pool: { maxOverflow: 2 } })]);
      const { options } = module!.get(DatabaseMonitor);
      expect([options.pool.size, options.pool.maxOverflow]).toEqual([3, 2]);
      expect([options.origins['pool.size'], options.origins['pool.maxOverflow']]).toEqual([
        'environment DB_POOL_SIZE',
        'options',
      ]);
    });
  });

  describe('forRootAsync', () => {
    @Injectable()
    class Factory implements DatabaseOptionsFactory {
      createDatabaseOptions(): DatabaseModuleOptions {
        return { url: database.url };
      }
    }

    @Module({ providers: [Factory], exports: [Factory] })
    class FactoryModule {}

    it('accepts the typed config by imports, inject and useFactory, with the origin of each value', async () => {
      process.env.DB_URL = database.url;
      process.env.DB_POOL_TIMEOUT = '5s';
      await compile([
        DatabaseModule.forRootAsync({
          imports: [ConfigModule.forFeature(databaseConfig)],
          inject: [databaseConfig.KEY],
          useFactory: (config: ConfigType<typeof databaseConfig>) => ({ ...config, autoLoadEntities: true }),
        }),
      ]);
      expect(await current(module!.get(DataSource))).toBe(database.name);
      const { options } = module!.get(DatabaseMonitor);
      expect(options.pool.acquireTimeoutMs).toBe(5000);
      expect(options.origins['pool.acquireTimeoutMs']).toBe('environment DB_POOL_TIMEOUT');
    });

    it('accepts databaseConfig.asProvider()', async () => {
      process.env.DB_URL = database.url;
      await compile([DatabaseModule.forRootAsync(databaseConfig.asProvider())]);
      expect(await current(module!.get(DataSource))).toBe(database.name);
    });

    it('accepts a factory that returns a promise', async () => {
      await compile([
        DatabaseModule.forRootAsync({ useFactory: () => Promise.resolve({ url: database.url }) }),
      ]);
      expect(await current(module!.get(DataSource))).toBe(database.name);
    });

    it('accepts useClass', async () => {
      await compile([DatabaseModule.forRootAsync({ useClass: Factory })]);
      expect(await current(module!.get(DataSource))).toBe(database.name);
    });

    it('accepts useExisting with imports', async () => {
      await compile([DatabaseModule.forRootAsync({ imports: [FactoryModule], useExisting: Factory })]);
      expect(await current(module!.get(DataSource))).toBe(database.name);
    });

    it('refuses options with none of the three', () => {
      expect(() => DatabaseModule.forRootAsync({})).toThrow(DatabaseConfigError);
      expect(() => DatabaseModule.forRootAsync({})).toThrow(/useFactory, useClass and useExisting/);
    });

    it('refuses a factory that returns nothing', async () => {
      const start = compile([DatabaseModule.forRootAsync({ useFactory: () => undefined as never })]);
      await expect(start).rejects.toThrow(DatabaseConfigError);
    });
  });

  describe('injection', () => {
    @Injectable()
    class UsersService {
      constructor(
        readonly dataSource: DataSource,
        readonly manager: EntityManager,
        @InjectDataSource() readonly byDecorator: DataSource,
        @InjectEntityManager() readonly managerByDecorator: EntityManager,
        @InjectRepository(User) readonly users: Repository<User>,
        @InjectRepository(TagSchema) readonly tags: Repository<Tag>,
      ) {}
    }

    @Module({
      imports: [DatabaseModule.forFeature([User, TagSchema])],
      providers: [UsersService],
      exports: [UsersService],
    })
    class UsersModule {}

    it('provides the data source, its manager and repositories, and loads the entities of forFeature automatically', async () => {
      await compile([DatabaseModule.forRoot({ url: database.url, synchronize: true }), UsersModule]);
      const service = module!.get(UsersService);
      expect(service.byDecorator).toBe(service.dataSource);
      expect(service.managerByDecorator).toBe(service.manager);
      expect(service.manager).toBe(service.dataSource.manager);
      await service.users.save({ name: 'Ada' });
      await service.tags.save({ label: 'first' });
      expect(await service.users.countBy({ name: 'Ada' })).toBe(1);
      expect(await service.tags.countBy({ label: 'first' })).toBe(1);
    });

    it('loads only the entities that are listed when they are', async () => {
      await compile([
        DatabaseModule.forRoot({ url: database.url, entities: [Order] }),
        DatabaseModule.forFeature([Order]),
        DatabaseModule.forFeature([User]),
      ]);
      const dataSource = module!.get(DataSource);
      expect(dataSource.entityMetadatas.map(({ name }) => name)).toEqual(['Order']);
    });

    it('adds the entities of forFeature to the listed ones when autoLoadEntities is on', async () => {
      await compile([
        DatabaseModule.forRoot({ url: database.url, entities: [Order], autoLoadEntities: true }),
        DatabaseModule.forFeature([User]),
      ]);
      const names = module!.get(DataSource).entityMetadatas.map(({ name }) => name);
      expect(names.sort()).toEqual(['Order', 'User']);
    });
  });

  describe('several data sources', () => {
    it('work side by side under their names, each with its own entities', async () => {
      await compile([
        DatabaseModule.forRoot({ url: database.url }),
        DatabaseModule.forRootAsync({
          name: 'reporting',
          useFactory: () => ({ url: second.url, synchronize: true }),
        }),
        DatabaseModule.forFeature([User]),
        DatabaseModule.forFeature([Order], 'reporting'),
      ]);
      const main = module!.get(DataSource);
      const reporting = module!.get<DataSource>(getDataSourceToken('reporting'));
      expect([await current(main), await current(reporting)]).toEqual([database.name, second.name]);
      expect(main.entityMetadatas.map(({ name }) => name)).toEqual(['User']);
      expect(reporting.entityMetadatas.map(({ name }) => name)).toEqual(['Order']);
      const orders = module!.get<Repository<Order>>(getRepositoryToken(Order, 'reporting'));
      await orders.save({ total: 1 });
      expect(await orders.count()).toBe(1);
      const monitor = module!.get(DatabaseMonitor);
      expect((await monitor.checkConnection({ name: 'reporting' })).database).toBe(second.name);
    });

    it('have the name that is the second argument of forRoot, as in @nestjs/typeorm', async () => {
      await compile([
        DatabaseModule.forRoot({ url: database.url }),
        DatabaseModule.forRoot({ url: second.url, name: 'overridden', entities: [Order] }, 'reporting'),
        DatabaseModule.forFeature([Order], 'reporting'),
      ]);
      const reporting = module!.get<DataSource>(getDataSourceToken('reporting'));
      expect(await current(reporting)).toBe(second.name);
      expect(module!.get<Repository<Order>>(getRepositoryToken(Order, 'reporting')).manager).toBe(
        reporting.manager,
      );
      expect(() => module!.get(getDataSourceToken('overridden'))).toThrow();
    });

    it('with the same name are an error that names it, before any of them connects', async () => {
      const start = compile([
        DatabaseModule.forRoot({ url: database.url }),
        DatabaseModule.forRoot({ url: second.url }),
      ]);
      await expect(start).rejects.toMatchObject({
        code: 'DATA_SOURCE_DUPLICATE',
        message: expect.stringContaining('"default"'),
      });
    });

    it('are the same when one dynamic module is imported twice', async () => {
      const root = DatabaseModule.forRoot({ url: database.url });
      @Module({ imports: [root] })
      class Other {}
      await compile([root, Other]);
      expect(await current(module!.get(DataSource))).toBe(database.name);
    });
  });

  describe('in tests of an app', () => {
    it('allows the data source to be overridden without any settings', async () => {
      delete process.env.DB_URL;
      delete process.env.DATABASE_URL;
      const fake = { manager: {}, entityMetadatas: [], getRepository: () => 'a repository' };
      module = await Test.createTestingModule({
        imports: [DatabaseModule.forRoot(), DatabaseModule.forFeature([User])],
      })
        .overrideProvider(DataSource)
        .useValue(fake)
        .setLogger(new CapturingLogger())
        .compile();
      await module.init();
      expect(module.get(DataSource)).toBe(fake);
      expect(module.get(getRepositoryToken(User) as string)).toBe('a repository');
    });

    it('provides one query runner of the overriding data source for each request', async () => {
      @Controller()
      class NotesController {
        constructor(@InjectQueryRunner() private readonly runner: QueryRunner) {}
        @Get('notes')
        list(): Promise<unknown> {
          return this.runner.query('SELECT 1');
        }
      }
      let released = 0;
      const fake = {
        manager: {},
        createQueryRunner: () => ({
          query: () => Promise.resolve(['a row']),
          release: () => void (released += 1),
        }),
      };
      const serve = async (dataSource: object) => {
        const compiled = await Test.createTestingModule({
          imports: [DatabaseModule.forRoot()],
          controllers: [NotesController],
        })
          .overrideProvider(DataSource)
          .useValue(dataSource)
          .setLogger(new CapturingLogger())
          .compile();
        module = compiled;
        const app = compiled.createNestApplication();
        const errors: unknown[] = [];
        app.useGlobalFilters({
          catch(error: unknown, host: ArgumentsHost) {
            errors.push(error);
            host.switchToHttp().getResponse<{ sendStatus(code: number): void }>().sendStatus(500);
          },
        });
        await app.listen(0, '127.0.0.1');
        const response = await fetch(`${await app.getUrl()}/notes`);
        const body = response.status === 200 ? await response.json() : undefined;
        await app.close();
        return { body, errors };
      };
      expect(await serve(fake)).toEqual({ body: ['a row'], errors: [] });
      expect(released).toBe(1);
      const { errors } = await serve({ manager: {} });
      expect(errors).toEqual([expect.objectContaining({ code: 'DATA_SOURCE_FOREIGN' })]);
      expect((errors[0] as DatabaseError).hint).toContain('getQueryRunnerToken()');
    });

    it('shares no state between apps of one process', async () => {
      const one = await Test.createTestingModule({
        imports: [DatabaseModule.forRoot({ url: database.url }), DatabaseModule.forFeature([User])],
      })
        .setLogger(new CapturingLogger())
        .compile();
      const other = await Test.createTestingModule({
        imports: [DatabaseModule.forRoot({ url: second.url }), DatabaseModule.forFeature([Order])],
      })
        .setLogger(new CapturingLogger())
        .compile();
      const sources = [one.get(DataSource), other.get(DataSource)] as const;
      expect(sources[0].entityMetadatas.map(({ name }) => name)).toEqual(['User']);
      expect(sources[1].entityMetadatas.map(({ name }) => name)).toEqual(['Order']);
      await one.close();
      expect(sources[0].isInitialized).toBe(false);
      expect(await current(sources[1])).toBe(second.name);
      await other.close();
    });
  });

  it('closes its connections with the app', async () => {
    await compile([DatabaseModule.forRoot({ url: database.url, applicationName: 'closes' })]);
    const dataSource = module!.get(DataSource);
    const connections = () =>
      database.sql(`SELECT pid FROM pg_stat_activity WHERE application_name = 'closes'`);
    expect((await connections()).length).toBeGreaterThan(0);
    await module!.close();
    await module!.close();
    expect(dataSource.isInitialized).toBe(false);
    expect(await connections()).toEqual([]);
  });
});
