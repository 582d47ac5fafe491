// This package: `singleton` uses the data source, `request` the query runner of the request.
import { DatabaseModule, getQueryRunnerToken } from '../../../dist/esm/index.js';
import { DataSource } from 'typeorm';
import { entities } from './typeorm-entities.mjs';
import { DataSourceRoutes, RunnerRoutes } from './typeorm-routes.mjs';

export default ({ url, poolSize, variant }) => ({
  imports: [DatabaseModule.forRoot({ url, entities, pool: { size: poolSize, maxOverflow: 0 } })],
  ...(variant === 'request'
    ? { Routes: RunnerRoutes, inject: [getQueryRunnerToken()] }
    : { Routes: DataSourceRoutes, inject: [DataSource] }),
});
