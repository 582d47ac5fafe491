import type { ManagedDataSource } from 'nestjs-database';
import type { DataSource } from 'typeorm';
import { until } from './until.js';

/** Waits until every lease has ended and the session of each returned connection has been reset. */
export async function poolAtRest(dataSource: DataSource): Promise<void> {
  const { pool } = dataSource as ManagedDataSource;
  await until(() => {
    const snapshot = pool?.snapshot();
    return !snapshot || snapshot.leased + snapshot.resetting === 0;
  });
}
