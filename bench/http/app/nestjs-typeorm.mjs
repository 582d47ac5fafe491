// @nestjs/typeorm: `singleton` uses the data source, `request` the request-scoped query runner that apps write by hand.
import { Scope } from '@nestjs/common';
import { REQUEST } from '@nestjs/core';
import { TypeOrmModule } from '@nestjs/typeorm';
import { DataSource } from 'typeorm';
import { entities } from './typeorm-entities.mjs';
import { DataSourceRoutes, RunnerRoutes } from './typeorm-routes.mjs';

const requestRunner = {
  provide: 'RequestRunner',
  scope: Scope.REQUEST,
  inject: [DataSource, REQUEST],
  useFactory(dataSource, request) {
    const runner = dataSource.createQueryRunner();
    request.res.once('close', () => void runner.release());
    return runner;
  },
};

export default ({ url, poolSize, variant }) => ({
  imports: [
    TypeOrmModule.forRoot({ type: 'postgres', url, entities, poolSize, extra: { idleTimeoutMillis: 0 } }),
  ],
  ...(variant === 'request'
    ? { providers: [requestRunner], Routes: RunnerRoutes, inject: [requestRunner.provide] }
    : { Routes: DataSourceRoutes, inject: [DataSource] }),
});
