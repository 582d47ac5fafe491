import { EventEmitter, once } from 'node:events';
import { createServer, connect } from 'node:net';
import type { AddressInfo, Server, Socket } from 'node:net';
import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import { ConnectionPool } from './connection-pool.js';

/*
 * When a blocked event loop continues, answers are already in the buffers of the sockets. These clients use real sockets whose
 * other ends are in this process, so that a test can answer, block the loop, and check.
 */
let server: Server;
let peers: Socket[];
beforeEach(async () => {
  peers = [];
  server = createServer((peer) => peers.push(peer)).listen(0, '127.0.0.1');
  await once(server, 'listening');
});
afterEach(() => {
  for (const peer of peers) peer.destroy();
  server.close();
});

/** A client that is connected by one byte from the other end; one more byte answers each query. */
class SocketClient extends EventEmitter {
  readonly socket = connect((server.address() as AddressInfo).port, '127.0.0.1');

  connect(callback: (error?: Error) => void): void {
    this.socket.once('data', () => callback());
    this.socket.once('close', () => callback(new Error('Connection terminated')));
  }
  query(): Promise<unknown> {
    return once(this.socket, 'data');
  }
  end(callback: () => void): void {
    this.socket.destroy();
    callback();
  }
}

function block(ms: number): void {
  const until = performance.now() + ms;
  while (performance.now() < until);
}

const answer = (index: number) => peers[index]?.write('.');

async function accepted(count: number): Promise<void> {
  while (peers.length < count) await once(server, 'connection');
}

describe('After a blocked event loop', () => {
  it('a connect whose answer has arrived does not time out', async () => {
    const pool = new ConnectionPool({ connectTimeoutMs: 100, onWarning: false }, SocketClient);
    const acquired = pool.acquire();
    await accepted(1);
    answer(0);
    block(200);
    (await acquired).release();
    expect(pool.snapshot().counters).toMatchObject({ created: 1, connectFailures: 0 });
    await pool.end();
  });

  it('a waiter whose connection has been opened does not time out', async () => {
    const pool = new ConnectionPool({ acquireTimeoutMs: 100, onWarning: false }, SocketClient);
    const acquired = pool.acquire();
    await accepted(1);
    answer(0);
    block(200);
    (await acquired).release();
    expect(pool.snapshot().counters.timeouts).toBe(0);
    await pool.end();
  });

  it('a waiter gets the connection that its borrower releases when its answer is read', async () => {
    const pool = new ConnectionPool({ max: 1, acquireTimeoutMs: 1_000, onWarning: false }, SocketClient);
    const leasing = pool.acquire();
    await accepted(1);
    answer(0);
    const leased = await leasing;
    const answered = leased.query().then(() => leased.release());
    const waiting = pool.acquire({ deadlineMs: 100 });
    answer(0);
    block(200);
    expect(await waiting).toBe(leased);
    await answered;
    leased.release();
    await pool.end();
  });

  it('a validation whose answer has arrived does not time out', async () => {
    const pool = new ConnectionPool(
      { max: 1, validateAfterIdleMs: 0, validationTimeoutMs: 100, onWarning: false },
      SocketClient,
    );
    const leasing = pool.acquire();
    await accepted(1);
    answer(0);
    const leased = await leasing;
    leased.release();
    block(5);
    const again = pool.acquire();
    expect(pool.snapshot().validating).toBe(1);
    answer(0);
    block(200);
    expect(await again).toBe(leased);
    expect(pool.snapshot().counters).toMatchObject({ validations: 1, validationFailures: 0 });
    leased.release();
    await pool.end();
  });
});
