import { Module } from '@nestjs/common';
import { ConfigModule, type ConfigType } from '@nestjs/config';
import { databaseConfig, DatabaseHealthModule, DatabaseModule } from 'nestjs-database';
import { TransfersController } from './transfers/transfers.controller.js';
import { CreateUsers1760000000000 } from './users/create-users.migration.js';
import { UsersModule } from './users/users.module.js';

@Module({
  imports: [
    DatabaseModule.forRootAsync({
      imports: [ConfigModule.forFeature(databaseConfig)],
      inject: [databaseConfig.KEY],
      useFactory: (config: ConfigType<typeof databaseConfig>) => ({
        ...config,
        autoLoadEntities: true,
        migrations: [CreateUsers1760000000000],
        migrationsTableName: 'example_migrations',
        migrationsRun: true,
      }),
    }),
    DatabaseHealthModule,
    UsersModule,
  ],
  controllers: [TransfersController],
})
export class AppModule {}
