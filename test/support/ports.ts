import { once } from 'node:events';
import { createServer } from 'node:net';

// Below the range from which systems take the ports of outgoing connections (32768 up on Linux, 49152 up
// elsewhere): a server that is stopped and started again finds its port still free.
const first = 12_000;
const last = 32_000;

/** A TCP port of 127.0.0.1 that was free when it was checked. Another process may bind it first: callers must retry. */
export async function freePort(): Promise<number> {
  for (let attempt = 0; attempt < 100; attempt += 1) {
    const port = first + Math.floor(Math.random() * (last - first));
    if (await isFree(port)) return port;
  }
  throw new Error(`None of 100 random ports from ${first} to ${last} is free`);
}

/** Whether the port can be bound now. */
export async function isFree(port: number): Promise<boolean> {
  const server = createServer();
  try {
    server.listen({ port, host: '127.0.0.1', exclusive: true });
    await once(server, 'listening');
  } catch {
    return false;
  }
  server.close();
  await once(server, 'close');
  return true;
}
