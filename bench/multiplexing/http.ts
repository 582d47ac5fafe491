import type { PostgresServer } from '../../test/support/postgres-server.js';
import { TYPEORM } from '../http/candidates.js';
import type { Candidate } from '../http/candidates.js';
import { measureRoute } from '../http/measure.js';
import { MeasuredApp } from '../http/measured-app.js';
import { versionOf } from '../http/nodes.js';
import { ROW, ROW_BY_SQL } from '../http/routes.js';
import type { HttpReport } from './report.js';

export const PG_POOL: Candidate = { title: 'pg.Pool', app: 'pg', variant: 'unnamed' };
export const EXCLUSIVE: Candidate = {
  title: 'nestjs-database',
  app: 'nestjs-database',
  variant: 'singleton',
};
export const shared = (connections: number): Candidate => ({
  title: `nestjs-database, ${connections} shared`,
  app: 'nestjs-database',
  variant: `shared-${connections}`,
});

interface HttpOptions {
  readonly node: string;
  readonly poolSize: number;
  readonly clients: number;
  readonly shared: readonly number[];
}

const ROUTES = [
  ['repository', ROW],
  ['SQL', ROW_BY_SQL],
] as const;

/**
 * Measures a row by its key over HTTP, on the tables of `createTables()`. The apps take turns. `pg.Pool` has SQL in both routes.
 */
export async function measureHttp(server: PostgresServer, options: HttpOptions): Promise<HttpReport[]> {
  const { node, poolSize, clients } = options;
  const candidates = [TYPEORM, PG_POOL, EXCLUSIVE, ...options.shared.map(shared)];
  const apps = await Promise.all(
    candidates.map((candidate) => MeasuredApp.start(candidate, { node, url: server.url, poolSize })),
  );
  const effort = { clients, rounds: 9, requests: 1_500, warmUp: 4_000 };
  const reports: HttpReport[] = [];
  for (const [rowBy, route] of ROUTES) {
    const measured = await measureRoute(apps, route, effort);
    const results = Object.fromEntries(candidates.map(({ title }, index) => [title, measured[index]!]));
    reports.push({ node: versionOf(node), clients, rowBy, results });
  }
  await Promise.all(apps.map((app) => app.stop()));
  return reports;
}
