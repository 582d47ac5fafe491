import { EventEmitter, once } from 'node:events';
import { createServer, connect } from 'node:net';
import type { AddressInfo, Server, Socket } from 'node:net';
import { afterEach, beforeEach, describe, expect, it } from '@jest/globals';
import { ConnectionPool } from './connection-pool.js';

/**
 * What lies in the buffers of sockets when a blocked event loop goes on: clients on real sockets whose other ends are in
 * this process, so that a test can answer, block, and look.
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

/** Opened, and answered, by one byte from the other end. */
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

describe('after a blocked event loop', () => {
  it('a dial whose answer is there already has not timed out', async () => {
    const pool = new ConnectionPool({ connectTimeoutMs: 100, onWarning: false }, SocketClient);
    const acquired = pool.acquire();
    await accepted(1);
    answer(0);
    block(200);
    (await acquired).release();
    expect(pool.snapshot().counters).toMatchObject({ created: 1, connectFailures: 0 });
    await pool.end();
  });

  it('a waiter whose connection is there already has not timed out', async () => {
    const pool = new ConnectionPool({ acquireTimeoutMs: 100, onWarning: false }, SocketClient);
    const acquired = pool.acquire();
    await accepted(1);
    answer(0);
    block(200);
    (await acquired).release();
    expect(pool.snapshot().counters.timeouts).toBe(0);
    await pool.end();
  });

  it('a waiter has the connection that its borrower gives back as soon as he has his answer', async () => {
    const pool = new ConnectionPool({ max: 1, acquireTimeoutMs: 1_000, onWarning: false }, SocketClient);
    const lending = pool.acquire();
    await accepted(1);
    answer(0);
    const lent = await lending;
    const answered = lent.query().then(() => lent.release());
    const waiting = pool.acquire({ deadlineMs: 100 });
    answer(0);
    block(200);
    expect(await waiting).toBe(lent);
    await answered;
    lent.release();
    await pool.end();
  });

  it('a connection that has answered its validation is not silent', async () => {
    const pool = new ConnectionPool(
      { max: 1, validateAfterIdleMs: 0, validationTimeoutMs: 100, onWarning: false },
      SocketClient,
    );
    const lending = pool.acquire();
    await accepted(1);
    answer(0);
    const lent = await lending;
    lent.release();
    block(5);
    const again = pool.acquire();
    expect(pool.snapshot().validating).toBe(1);
    answer(0);
    block(200);
    expect(await again).toBe(lent);
    expect(pool.snapshot().counters).toMatchObject({ validations: 1, validationFailures: 0 });
    lent.release();
    await pool.end();
  });
});
