import { fork } from 'node:child_process';
import { once } from 'node:events';
import { performance } from 'node:perf_hooks';
import { fileURLToPath } from 'node:url';
import pg from 'pg';
import type { PostgresServer } from '../../test/support/postgres-server.js';
import { median } from './statistics.js';

/** The way to the server. */
export interface Network {
  readonly url: string;
  /** Of the smallest statement, in milliseconds. */
  readonly roundTripMs: number;
  close(): Promise<void>;
}

/** @param latencyMs in each direction; without latency there is no proxy */
export async function openNetwork(server: PostgresServer, latencyMs: number): Promise<Network> {
  if (latencyMs === 0)
    return { url: server.url, roundTripMs: await roundTrip(server.url), close: async () => undefined };
  // Inherits the options of this process, which let it load TypeScript.
  const proxy = fork(fileURLToPath(new URL('proxy.ts', import.meta.url)), [
    String(server.port),
    String(latencyMs),
  ]);
  const [port] = (await once(proxy, 'message')) as [number];
  const url = new URL(server.url);
  url.port = String(port);
  return {
    url: url.href,
    roundTripMs: await roundTrip(url.href),
    async close() {
      const ended = once(proxy, 'exit');
      proxy.disconnect();
      await ended;
    },
  };
}

async function roundTrip(url: string): Promise<number> {
  const client = new pg.Client({ connectionString: url });
  await client.connect();
  const times: number[] = [];
  for (let round = 0; round < 50; round += 1) {
    const sent = performance.now();
    await client.query('');
    times.push(performance.now() - sent);
  }
  await client.end();
  return median(times);
}
