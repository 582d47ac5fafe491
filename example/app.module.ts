import { Module } from '@nestjs/common';
import { ConfigModule } from '@nestjs/config';
import type { ConfigType } from '@nestjs/config';
import { APP_FILTER } from '@nestjs/core';
import { databaseConfig, DatabaseHealthModule, DatabaseModule } from 'nestjs-database';
import { databaseOptions } from './database.options.js';
import { OverloadedFilter } from './overloaded.filter.js';
import { TransfersController } from './transfers/transfers.controller.js';
import { UsersModule } from './users/users.module.js';

@Module({
  imports: [
    DatabaseModule.forRootAsync({
      imports: [ConfigModule.forFeature(databaseConfig)],
      inject: [databaseConfig.KEY],
      useFactory: (config: ConfigType<typeof databaseConfig>) => ({
        ...config,
        autoLoadEntities: true,
        ...databaseOptions,
        migrationsRun: true,
      }),
    }),
    DatabaseHealthModule,
    UsersModule,
  ],
  controllers: [TransfersController],
  providers: [{ provide: APP_FILTER, useClass: OverloadedFilter }],
})
export class AppModule {}
