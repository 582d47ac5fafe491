import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { Controller, Get, Injectable, Module } from '@nestjs/common';
import { HealthCheckService, TerminusModule, TypeOrmHealthIndicator } from '@nestjs/terminus';
import {
  getDataSourceToken as theirDataSourceToken,
  getEntityManagerToken as theirEntityManagerToken,
  getRepositoryToken as theirRepositoryToken,
  InjectDataSource,
  InjectEntityManager,
  InjectRepository,
  TypeOrmModule,
} from '@nestjs/typeorm';
import {
  DatabaseModule,
  getDataSourceToken,
  getEntityManagerToken,
  getRepositoryToken,
} from 'nestjs-database';
import { DataSource, EntityManager, Repository } from 'typeorm';
import { createTestDatabase } from '../support/database.js';
import type { TestDatabase } from '../support/database.js';
import { Order, TagSchema, User } from '../support/entities.js';
import type { Tag } from '../support/entities.js';
import { startHttpApp } from '../support/http-app.js';
import type { HttpApp } from '../support/http-app.js';

@Injectable()
class UserRepository extends Repository<User> {
  constructor(dataSource: DataSource) {
    super(User, dataSource.createEntityManager());
  }

  named(name: string) {
    return this.findBy({ name });
  }
}

@Injectable()
class UsersService {
  constructor(
    @InjectDataSource() readonly dataSource: DataSource,
    @InjectEntityManager() readonly manager: EntityManager,
    @InjectRepository(User) readonly users: Repository<User>,
    @InjectRepository(TagSchema) readonly tags: Repository<Tag>,
    @InjectRepository(UserRepository) readonly custom: UserRepository,
    @InjectDataSource('reporting') readonly reporting: DataSource,
    @InjectRepository(Order, 'reporting') readonly orders: Repository<Order>,
  ) {}
}

@Controller('terminus')
class TerminusController {
  constructor(
    private readonly health: HealthCheckService,
    private readonly typeorm: TypeOrmHealthIndicator,
  ) {}

  @Get()
  check() {
    return this.health.check([() => this.typeorm.pingCheck('typeorm')]);
  }
}

@Module({
  imports: [
    TypeOrmModule.forFeature([User, TagSchema]),
    TypeOrmModule.forFeature([Order], 'reporting'),
    TerminusModule,
  ],
  controllers: [TerminusController],
  providers: [UsersService, UserRepository],
})
class UsersModule {}

describe('an app written for @nestjs/typeorm, on the root module of this package', () => {
  let database: TestDatabase;
  let second: TestDatabase;
  let http: HttpApp;

  beforeAll(async () => {
    database = await createTestDatabase();
    second = await createTestDatabase();
    http = await startHttpApp({
      imports: [
        DatabaseModule.forRoot({ url: database.url, autoLoadEntities: true, synchronize: true }),
        DatabaseModule.forRoot({
          name: 'reporting',
          url: second.url,
          autoLoadEntities: true,
          synchronize: true,
        }),
        UsersModule,
      ],
    });
  });
  afterAll(async () => {
    await http?.close();
    await database.drop();
    await second.drop();
  });

  it('injects by the decorators of @nestjs/typeorm', async () => {
    const service = http.app.get(UsersService, { strict: false });
    expect(service.dataSource).toBe(http.app.get(DataSource));
    expect(service.manager).toBe(service.dataSource.manager);
    await service.users.save({ name: 'Grace' });
    await service.tags.save({ label: 'a schema without a class' });
    expect(await service.custom.named('Grace')).toHaveLength(1);
    expect(await service.tags.count()).toBe(1);
  });

  it('keeps named data sources and their entities apart', async () => {
    const service = http.app.get(UsersService, { strict: false });
    await service.orders.save({ total: 7 });
    expect(await service.orders.countBy({ total: 7 })).toBe(1);
    expect(service.dataSource.entityMetadatas.map(({ name }) => name).sort()).toEqual(['Tag', 'User']);
    expect(service.reporting.entityMetadatas.map(({ name }) => name)).toEqual(['Order']);
  });

  it("answers Terminus' TypeOrmHealthIndicator", async () => {
    const { status, body } = await http.fetch('/terminus');
    expect(status).toBe(200);
    expect(body).toMatchObject({ status: 'ok', info: { typeorm: { status: 'up' } } });
  });

  it.each([undefined, 'default', 'reporting'])('has the same tokens for the data source named %p', (name) => {
    expect(getDataSourceToken(name)).toBe(theirDataSourceToken(name));
    expect(getEntityManagerToken(name)).toBe(theirEntityManagerToken(name));
    for (const entity of [User, TagSchema, UserRepository])
      expect(getRepositoryToken(entity, name)).toBe(theirRepositoryToken(entity, name));
  });

  it('fails with a hint on what to remove when TypeOrmModule.forRoot is still imported', async () => {
    const start = startHttpApp({
      imports: [
        DatabaseModule.forRoot({ url: database.url }),
        TypeOrmModule.forRoot({ type: 'postgres', url: database.url, manualInitialization: true } as never),
      ],
    });
    await expect(start).rejects.toMatchObject({
      code: 'DATA_SOURCE_DUPLICATE',
      message: expect.stringContaining('TypeOrmModule.forRoot'),
    });
  });
});
