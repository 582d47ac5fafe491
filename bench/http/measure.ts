import { Load } from './load.js';
import type { MeasuredApp } from './measured-app.js';
import type { Route } from './routes.js';
import { percentile, rangeOf } from './statistics.js';
import type { Range } from './statistics.js';

export interface Effort {
  readonly clients: number;
  /** Requests before the first round: they open the connections and warm up the compiler. */
  readonly warmUp: number;
  readonly rounds: number;
  /** Requests of one round. */
  readonly requests: number;
}

export interface Measurement {
  /** CPU time of the app's process per request, in microseconds. */
  readonly cpu: Range;
  readonly perSecond: Range;
  /** Latencies in milliseconds. */
  readonly p50: Range;
  readonly p99: Range;
}

/** Measures one route of several apps, which take turns. The results are in the order of the apps. */
export async function measureRoute(
  apps: readonly MeasuredApp[],
  route: Route,
  { clients, warmUp, rounds, requests }: Effort,
): Promise<Measurement[]> {
  const loads = await Promise.all(apps.map((app) => Load.connect(app.started.port, clients)));
  const seen = apps.map((): Record<keyof Measurement, number[]> => ({
    cpu: [],
    perSecond: [],
    p50: [],
    p99: [],
  }));
  for (const load of loads) await load.run(route, warmUp);
  for (let round = 0; round < rounds; round += 1)
    for (const [index, app] of apps.entries()) {
      const before = await app.ask('cpu');
      const { seconds, latencies } = await loads[index]!.run(route, requests);
      const after = await app.ask('cpu');
      const { cpu, perSecond, p50, p99 } = seen[index]!;
      cpu.push((after.micros - before.micros) / requests);
      perSecond.push(requests / seconds);
      p50.push(percentile(latencies, 0.5));
      p99.push(percentile(latencies, 0.99));
    }
  for (const load of loads) load.close();
  return seen.map(({ cpu, perSecond, p50, p99 }) => ({
    cpu: rangeOf(cpu),
    perSecond: rangeOf(perSecond),
    p50: rangeOf(p50),
    p99: rangeOf(p99),
  }));
}
