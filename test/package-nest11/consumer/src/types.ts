import { Injectable, Module } from '@nestjs/common';
import { ConfigModule, ConfigType } from '@nestjs/config';
import {
  databaseConfig,
  DatabaseError,
  DatabaseHealthModule,
  DatabaseModule,
  DatabaseMonitor,
  InjectDataSource,
  InjectEntityManager,
  InjectQueryRunner,
  InjectRepository,
  InjectUnitOfWork,
  ManagedDataSource,
  UnitOfWork,
} from 'nestjs-database';
import { ConnectionPool, PoolOptions } from 'nestjs-database/pool';
import { DataSource, EntityManager, QueryRunner, Repository } from 'typeorm';
import { User } from './entities';

// Compiled only: every kind of name that the package exports, as an app with `module: commonjs` writes it.

@Module({
  imports: [
    DatabaseModule.forRootAsync({
      imports: [ConfigModule.forFeature(databaseConfig)],
      inject: [databaseConfig.KEY],
      useFactory: (config: ConfigType<typeof databaseConfig>) => ({ ...config, autoLoadEntities: true }),
    }),
    DatabaseModule.forRootAsync(databaseConfig.asProvider()),
    DatabaseModule.forRoot({ name: 'second', url: 'postgres://127.0.0.1/app', pool: { size: 2 } }),
    // @ts-expect-error a pool has a number of connections
    DatabaseModule.forRoot({ pool: { size: 'many' } }),
    DatabaseModule.forFeature([User]),
    DatabaseHealthModule,
  ],
})
export class AppModule {}

@Injectable()
export class Users {
  constructor(
    @InjectDataSource() readonly dataSource: DataSource,
    @InjectEntityManager() readonly manager: EntityManager,
    @InjectRepository(User) readonly users: Repository<User>,
    @InjectQueryRunner() readonly runner: QueryRunner,
    @InjectUnitOfWork() readonly unit: UnitOfWork,
    readonly monitor: DatabaseMonitor,
  ) {}

  waiting(): number | undefined {
    return this.dataSource instanceof ManagedDataSource ? this.dataSource.pool?.waitingCount : undefined;
  }
}

export function openPool(options: PoolOptions): ConnectionPool {
  return new ConnectionPool(options);
}

export function hint(error: unknown): string | undefined {
  return error instanceof DatabaseError ? error.hint : undefined;
}
