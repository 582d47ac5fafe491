import { Controller, Get, Injectable, Module } from '@nestjs/common';
import { HealthCheckService, TerminusModule, TypeOrmHealthIndicator } from '@nestjs/terminus';
import {
  getDataSourceToken as theirDataSourceToken,
  getEntityManagerToken as theirEntityManagerToken,
  getRepositoryToken as theirRepositoryToken,
  InjectConnection,
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
import { Order, type Tag, TagSchema, User } from '../src/entities';
import { failure, type Http, sql, start, startHttp, url } from './support';

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
    @InjectConnection() readonly connection: DataSource,
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

describe('An app for @nestjs/typeorm 11 that imports DatabaseModule', () => {
  let http: Http;
  let service: UsersService;

  beforeAll(async () => {
    await sql('DROP TABLE IF EXISTS users, orders, tag');
    http = await startHttp({
      imports: [
        DatabaseModule.forRoot({ autoLoadEntities: true, synchronize: true }),
        DatabaseModule.forRoot({ name: 'reporting', url, autoLoadEntities: true, synchronize: true }),
        UsersModule,
      ],
    });
    service = http.app.get(UsersService, { strict: false });
  });
  afterAll(() => http?.app.close());

  it('injects by the decorators of @nestjs/typeorm', async () => {
    expect(service.dataSource).toBe(http.app.get(DataSource));
    expect(service.connection).toBe(service.dataSource);
    expect(service.manager).toBe(service.dataSource.manager);
    await service.users.save({ name: 'Grace' });
    expect(await service.custom.named('Grace')).toHaveLength(1);
  });

  it('loads entities of its forFeature, including a schema without a class', async () => {
    await service.tags.save({ label: 'a schema without a class' });
    expect(await service.tags.count()).toBe(1);
    await service.orders.save({ total: 7 });
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

  it('has data sources that @nestjs/typeorm can map to their tokens', () => {
    expect(theirDataSourceToken(service.dataSource)).toBe(DataSource);
    expect(theirDataSourceToken(service.reporting)).toBe('reportingDataSource');
  });

  it('names the import to remove when TypeOrmModule.forRoot is still imported', async () => {
    const both = start({
      imports: [
        DatabaseModule.forRoot(),
        TypeOrmModule.forRoot({ type: 'postgres', url, manualInitialization: true }),
      ],
    });
    expect(await failure(both)).toMatchObject({
      code: 'DATA_SOURCE_DUPLICATE',
      message: expect.stringContaining('TypeOrmModule.forRoot'),
    });
  });
});
