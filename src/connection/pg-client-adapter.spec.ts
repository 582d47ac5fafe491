import { EventEmitter, once } from 'node:events';
import { mkdtempSync, rmSync } from 'node:fs';
import { createServer } from 'node:net';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, it, jest } from '@jest/globals';
import { PgClientAdapter } from './pg-client-adapter.js';

/** Shaped like a `pg.Client`, as far as its documentation goes. */
class Plain extends EventEmitter {
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
    const client = new Plain();
    const control = new PgClientAdapter(client);
    expect(control.reset('smart', 100)).toBeUndefined();
    client.status = null;
    expect(control.reset('rollback', 100)).toBeUndefined();
    client.status = 'T';
    expect(control.reset('none', 100)).toBeUndefined();
    expect(client.sent).toEqual([]);
    expect([control.isUsable, control.isReadyForQuery, control.transactionStatus]).toEqual([true, true, 'T']);
  });

  it('counts the bytes of the socket as statements, if the client shows one', () => {
    const client = new Plain() as Plain & { connection?: { stream?: { bytesWritten: number } } };
    const control = new PgClientAdapter(client);
    expect(control.statementCount).toBeUndefined();
    client.connection = {};
    expect(control.statementCount).toBeUndefined();
    client.connection.stream = { bytesWritten: 7 };
    expect(control.statementCount).toBe(7);
  });

  it('rolls an open transaction back, and sends DISCARD ALL in the mode discard', async () => {
    const client = new Plain();
    const control = new PgClientAdapter(client);
    client.status = 'E';
    expect(await control.reset('smart', 100)).toEqual({ rolledBack: true, cleared: false });
    client.status = 'I';
    expect(await control.reset('discard', 100)).toEqual({ rolledBack: false, cleared: true });
    expect(client.sent).toEqual(['ROLLBACK', 'DISCARD ALL']);
  });

  it('validates the client within the timeout', async () => {
    const client = new Plain();
    const control = new PgClientAdapter(client);
    await control.validate(1_000);
    client.answers = false;
    await expect(control.validate(20)).rejects.toThrow('did not answer within 20 ms');
    expect(client.sent).toEqual(['SELECT 1', 'SELECT 1']);
    await control.cancelRunning().then(() => undefined);
  });

  it('accepts a client that throws instead of rejecting, and one without end()', async () => {
    const client = new Plain();
    const control = new PgClientAdapter(client);
    client.query = () => {
      throw new Error('not now');
    };
    await expect(control.validate(100)).rejects.toThrow('not now');
    Object.assign(client, { end: undefined });
    control.destroy();
    expect(control.isUsable).toBe(false);
  });

  it('closes the client, and destroys it when it does not end in time', async () => {
    const client = new Plain();
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
    const client = new Plain();
    const end = jest.spyOn(client, 'end');
    const stream = { destroy: jest.fn() };
    Object.assign(client, { connection: { stream } });
    const reason = new Error('enough');
    new PgClientAdapter(client).destroy(reason);
    expect(stream.destroy).toHaveBeenCalledWith(reason);
    expect(end).not.toHaveBeenCalled();
  });

  it('sends no cancel request when the stream of the client has reached another server, or an unknown one', async () => {
    const dialled: unknown[] = [];
    const elsewhere = createServer((socket) => void dialled.push(socket.destroy())).listen(0, '127.0.0.1');
    await once(elsewhere, 'listening');
    const { port } = elsewhere.address() as AddressInfo;
    const known = { processID: 1, secretKey: 2, host: '127.0.0.1', port, readyForQuery: false };
    for (const stream of [{ remotePort: port + 1 }, {}]) {
      const client = Object.assign(new Plain(), known, { connection: { stream } });
      await new PgClientAdapter(client).cancelRunning();
    }
    const stream = { remotePort: port };
    const quiet = Object.assign(new Plain(), known, { readyForQuery: true, connection: { stream } });
    await new PgClientAdapter(quiet).cancelRunning();
    const before = dialled.length;
    const client = Object.assign(new Plain(), known, { connection: { stream } });
    await new PgClientAdapter(client).cancelRunning();
    elsewhere.close();
    expect([before, dialled.length]).toEqual([0, 1]);
  });

  it('sends a cancel request on a Unix socket, which has no port', async () => {
    const folder = mkdtempSync(join(tmpdir(), 's-'));
    const dialled: unknown[] = [];
    const local = createServer((socket) => void dialled.push(socket.destroy()));
    await once(local.listen(join(folder, '.s.PGSQL.5432')), 'listening');
    const known = { processID: 1, secretKey: 2, host: folder, port: 5432, readyForQuery: false };
    const client = Object.assign(new Plain(), known, { connection: { stream: {} } });
    await new PgClientAdapter(client).cancelRunning();
    local.close();
    rmSync(folder, { recursive: true });
    expect(dialled).toHaveLength(1);
  });

  it('ends a client without a socket, and reports it as closed', async () => {
    const client = new Plain();
    const end = jest.spyOn(client, 'end');
    const control = new PgClientAdapter(client);
    const reason = new Error('enough');
    const terminated = control.terminate(reason);
    expect(control.isUsable).toBe(false);
    await terminated;
    expect(end).toHaveBeenCalledTimes(1);
    expect([control.isUsable, control.closeReason]).toEqual([false, reason]);
    await expect(client.query('late')).rejects.toBe(reason);
  });
});
