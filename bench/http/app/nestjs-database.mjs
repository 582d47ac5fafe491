// This package: `singleton` uses the data source, `request` the query runner of the request, `shared-2` the data source with two
// shared connections.
import { DatabaseModule, getQueryRunnerToken } from '../../../dist/esm/index.js';
import { DataSource } from 'typeorm';
import { entities } from './typeorm-entities.mjs';
import { DataSourceRoutes, RunnerRoutes } from './typeorm-routes.mjs';

const sharedIn = (variant) => Number(/^shared-(\d+)$/.exec(variant)?.[1] ?? 0);

export default ({ url, poolSize, variant }) => ({
  imports: [
    DatabaseModule.forRoot({
      url,
      entities,
      pool: { size: poolSize, maxOverflow: 0 },
      multiplex: sharedIn(variant) > 0 && { connections: sharedIn(variant) },
    }),
  ],
  ...(variant === 'request'
    ? { Routes: RunnerRoutes, inject: [getQueryRunnerToken()] }
    : { Routes: DataSourceRoutes, inject: [DataSource] }),
});
