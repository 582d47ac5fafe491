import { EventEmitter, once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { createServer } from 'node:net';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, it, jest } from '@jest/globals';
import { PgClientAdapter } from './pg-client-adapter.js';

/** A client with the documented methods of `pg.Client` alone. */
class PlainClient extends EventEmitter {
  status: 'I' | 'T' | 'E' | null = 'I';
  answers = true;
  ends = true;
  readonly sent: string[] = [];

  getTransactionStatus(): 'I' | 'T' | 'E' | null {
    return this.status;
  }
  query(query: string | { text: string }): Promise<{ rows: never[] }> {
    this.sent.push(typeof query === 'string' ? query : query.text);
    return this.answers ? Promise.resolve({ rows: [] }) : new Promise(() => undefined);
  }
  end(callback: () => void): void {
    if (this.ends) callback();
  }
}

describe('PgClientAdapter', () => {
  it('resets nothing outside a transaction, or when the client does not report its status', () => {
    const client = new PlainClient();
    const adapter = new PgClientAdapter(client);
    expect(adapter.reset('smart', 100)).toBeUndefined();
    client.status = null;
    expect(adapter.reset('rollback', 100)).toBeUndefined();
    client.status = 'T';
    expect(adapter.reset('none', 100)).toBeUndefined();
    expect(client.sent).toEqual([]);
    expect([adapter.isUsable, adapter.isReadyForQuery, adapter.transactionStatus]).toEqual([true, true, 'T']);
  });

  it('reports the bytes sent on the socket as its statement count, if the client has a visible socket', () => {
    const client = new PlainClient() as PlainClient & { connection?: { stream?: { bytesWritten: number } } };
    const adapter = new PgClientAdapter(client);
    expect(adapter.statementCount).toBeUndefined();
    client.connection = {};
    expect(adapter.statementCount).toBeUndefined();
    client.connection.stream = { bytesWritten: 7 };
    expect(adapter.statementCount).toBe(7);
  });

  it('rolls an open transaction back, and sends DISCARD ALL in the mode discard', async () => {
    const client = new PlainClient();
    const adapter = new PgClientAdapter(client);
    client.status = 'E';
    expect(await adapter.reset('smart', 100)).toEqual({ rolledBack: true, cleared: false });
    client.status = 'I';
    expect(await adapter.reset('discard', 100)).toEqual({ rolledBack: false, cleared: true });
    expect(client.sent).toEqual(['ROLLBACK', 'DISCARD ALL']);
  });

  it('validates the client within the timeout', async () => {
    const client = new PlainClient();
    const adapter = new PgClientAdapter(client);
    await adapter.validate(1_000);
    client.answers = false;
    await expect(adapter.validate(20)).rejects.toThrow('did not answer within 20 ms');
    expect(client.sent).toEqual(['SELECT 1', 'SELECT 1']);
    await adapter.cancelRunning().then(() => undefined);
  });

  it('accepts a client that throws instead of rejecting, and one without end()', async () => {
    const client = new PlainClient();
    const adapter = new PgClientAdapter(client);
    client.query = () => {
      throw new Error('not now');
    };
    await expect(adapter.validate(100)).rejects.toThrow('not now');
    Object.assign(client, { end: undefined });
    adapter.destroy();
    expect(adapter.isUsable).toBe(false);
  });

  it('closes the client, and destroys it when it does not end in time', async () => {
    const client = new PlainClient();
    const timers = () => process.getActiveResourcesInfo().filter((name) => name === 'Timeout').length;
    const before = timers();
    await new PgClientAdapter(client).close(60_000);
    expect(timers()).toBe(before);
    client.ends = false;
    const stream = { destroy: jest.fn() };
    Object.assign(client, { connection: { stream } });
    await new PgClientAdapter(client).close(20);
    expect(stream.destroy).toHaveBeenCalledTimes(1);
  });

  it('destroys the socket of a client without calling end()', () => {
    const client = new PlainClient();
    const end = jest.spyOn(client, 'end');
    const stream = { destroy: jest.fn() };
    Object.assign(client, { connection: { stream } });
    const reason = new Error('enough');
    new PgClientAdapter(client).destroy(reason);
    expect(stream.destroy).toHaveBeenCalledWith(reason);
    expect(end).not.toHaveBeenCalled();
  });

  it('sends no cancel request when the stream of the client has reached another server, or an unknown one', async () => {
    const connections: unknown[] = [];
    const listener = createServer((socket) => void connections.push(socket.destroy())).listen(0, '127.0.0.1');
    await once(listener, 'listening');
    const { port } = listener.address() as AddressInfo;
    const known = { processID: 1, secretKey: 2, host: '127.0.0.1', port, readyForQuery: false };
    for (const stream of [{ remotePort: port + 1 }, {}]) {
      const client = Object.assign(new PlainClient(), known, { connection: { stream } });
      await new PgClientAdapter(client).cancelRunning();
    }
    const stream = { remotePort: port };
    const ready = Object.assign(new PlainClient(), known, { readyForQuery: true, connection: { stream } });
    await new PgClientAdapter(ready).cancelRunning();
    const before = connections.length;
    const client = Object.assign(new PlainClient(), known, { connection: { stream } });
    await new PgClientAdapter(client).cancelRunning();
    listener.close();
    expect([before, connections.length]).toEqual([0, 1]);
  });

  it('sends a cancel request on a Unix socket, which has no port', async () => {
    const folder = mkdtempSync(join(tmpdir(), 's-'));
    const connections: unknown[] = [];
    const local = createServer((socket) => void connections.push(socket.destroy()));
    await once(local.listen(join(folder, '.s.PGSQL.5432')), 'listening');
    const known = { processID: 1, secretKey: 2, host: folder, port: 5432, readyForQuery: false };
    const client = Object.assign(new PlainClient(), known, { connection: { stream: {} } });
    await new PgClientAdapter(client).cancelRunning();
    local.close();
    rmSync(folder, { recursive: true });
    expect(connections).toHaveLength(1);
  });

  it('destroys the socket of an active client after the answer to the cancel, or without one after a limit', async () => {
    // It ends the cancel request as a server does, before the answer can arrive on the socket of the client.
    const listener = createServer((socket) => socket.resume().end()).listen(0, '127.0.0.1');
    await once(listener, 'listening');
    const { port } = listener.address() as AddressInfo;
    const known = { processID: 1, secretKey: 2, host: '127.0.0.1', port };
    const terminate = (isAnswered: boolean) => {
      const wire = new EventEmitter();
      const events: string[] = [];
      const stream = { remotePort: port, destroy: () => void events.push('destroyed') };
      const connection = Object.assign(wire, { stream });
      const client = Object.assign(new PlainClient(), known, { readyForQuery: false, connection });
      wire.on('newListener', (event) => {
        if (event !== 'readyForQuery' || !isAnswered) return;
        setImmediate(() => {
          events.push('answered');
          client.readyForQuery = true;
          wire.emit('readyForQuery');
        });
      });
      return new PgClientAdapter(client).terminate(new Error('enough')).then(() => events);
    };
    expect(await terminate(true)).toEqual(['answered', 'destroyed']);
    expect(await terminate(false)).toEqual(['destroyed']);
    listener.close();
  });

  it('ends a client without a socket, and reports it as closed', async () => {
    const client = new PlainClient();
    const end = jest.spyOn(client, 'end');
    const adapter = new PgClientAdapter(client);
    const reason = new Error('enough');
    const terminated = adapter.terminate(reason);
    expect(adapter.isUsable).toBe(false);
    await terminated;
    expect(end).toHaveBeenCalledTimes(1);
    expect([adapter.isUsable, adapter.closeReason]).toEqual([false, reason]);
    await expect(client.query('late')).rejects.toBe(reason);
  });
});
