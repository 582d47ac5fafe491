import { once } from 'node:events';
import { connect } from 'node:net';
import type { Socket } from 'node:net';
import { performance } from 'node:perf_hooks';
import type { Route } from './routes.js';

/** What a fixed number of requests took. */
export interface LoadResult {
  readonly seconds: number;
  /** Of each request, in milliseconds. */
  readonly latencies: readonly number[];
}

/**
 * Clients of an app, each with one connection, on which the next request follows the answer to the last one.
 *
 * Written on sockets: Node's HTTP client takes as much CPU time as the app, on a machine that they share.
 */
export class Load {
  private constructor(private readonly clients: readonly Client[]) {}

  static async connect(port: number, clients: number): Promise<Load> {
    return new Load(await Promise.all(Array.from({ length: clients }, () => Client.connect(port))));
  }

  /** Sends a number of requests in total. */
  async run(route: Route, requests: number): Promise<LoadResult> {
    const latencies: number[] = [];
    let left = requests;
    const started = performance.now();
    await Promise.all(
      this.clients.map(async (client) => {
        while (left-- > 0) {
          const sent = performance.now();
          await client.send(route);
          latencies.push(performance.now() - sent);
        }
      }),
    );
    return { seconds: (performance.now() - started) / 1_000, latencies };
  }

  close(): void {
    for (const client of this.clients) client.close();
  }
}

class Client {
  private received = '';
  private answered: { resolve: () => void; reject: (error: Error) => void } | undefined;

  private constructor(private readonly socket: Socket) {
    socket.setNoDelay();
    socket.setEncoding('latin1');
    socket.on('data', (text: string) => this.read(text));
    socket.on('error', (error) => this.answered?.reject(error));
    socket.on('close', () => this.answered?.reject(new Error('The app has closed the connection')));
  }

  static async connect(port: number): Promise<Client> {
    const socket = connect({ port, host: '127.0.0.1' });
    await once(socket, 'connect');
    return new Client(socket);
  }

  /** @throws Error when the answer is not a success */
  send({ method, path }: Route): Promise<void> {
    return new Promise((resolve, reject) => {
      this.answered = { resolve, reject };
      if (this.socket.destroyed) reject(new Error('The app has closed the connection'));
      const length = method === 'POST' ? 'Content-Length: 0\r\n' : '';
      this.socket.write(`${method} ${path} HTTP/1.1\r\nHost: localhost\r\n${length}\r\n`);
    });
  }

  close(): void {
    this.answered = undefined;
    this.socket.destroy();
  }

  private read(text: string): void {
    this.received += text;
    const head = this.received.indexOf('\r\n\r\n');
    if (head < 0) return;
    const length = Number(/\r\nContent-Length: (\d+)/i.exec(this.received)?.[1] ?? 0);
    if (this.received.length < head + 4 + length) return;
    const answer = this.received;
    this.received = '';
    if (/^HTTP\/1\.1 2/.test(answer)) this.answered?.resolve();
    else this.answered?.reject(new Error(answer));
  }
}
