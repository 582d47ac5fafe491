import type { Effort } from './measure.js';
import { ROUTES, ROW, TENANT } from './routes.js';
import type { Route } from './routes.js';

/** A route to measure, and under which load. */
export interface Step {
  readonly route: Route;
  readonly clients: number;
  /** Of the network to the server, in each direction. */
  readonly latencyMs: number;
}

export const POOL_SIZE = 10;
export const CLIENTS: readonly number[] = [1, 10, 32];
export const LATENCIES_MS: readonly number[] = [0, 1, 5];
/** The routes that are measured with more than one number of clients and more than one latency. */
export const SWEPT: readonly Route[] = [ROW, TENANT];

export const product = (
  routes: readonly Route[],
  clients: readonly number[],
  latenciesMs: readonly number[],
): Step[] =>
  latenciesMs.flatMap((latencyMs) =>
    clients.flatMap((count) => routes.map((route) => ({ route, clients: count, latencyMs }))),
  );

/**
 * Every route with 10 clients and no latency; from there the clients and the latency are varied one at a time.
 * @param withLatency also varies the latency, which takes longest
 * @param quick varies them for one route and to the largest value only
 */
export function standardSteps({ withLatency, quick }: { withLatency: boolean; quick: boolean }): Step[] {
  const swept = quick ? SWEPT.slice(0, 1) : SWEPT;
  const clients = quick ? CLIENTS.slice(-1) : CLIENTS.filter((count) => count !== 10);
  const latenciesMs = quick ? LATENCIES_MS.slice(-1) : LATENCIES_MS.filter((ms) => ms > 0);
  return [
    ...product(ROUTES, [10], [0]),
    ...product(swept, clients, [0]),
    ...(withLatency ? product(swept, [10], latenciesMs) : []),
  ];
}

/** How many requests are sent for a step: about as many as take a third of a second. */
export function effortOf({ clients, latencyMs }: Step, quick: boolean): Effort {
  const requests = latencyMs > 1 ? 200 : latencyMs > 0 || clients === 1 ? 400 : 800;
  if (quick) return { clients, rounds: 3, requests: requests / 4, warmUp: requests };
  return { clients, rounds: 5, requests, warmUp: latencyMs > 0 || clients === 1 ? requests : 2 * requests };
}
