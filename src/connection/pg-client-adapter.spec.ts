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

describe('the care for a client of another class', () => {
  it('does nothing to one that is outside of a transaction, or cannot tell', () => {
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

  it('knows by the bytes of its socket whether it has sent anything, where it shows one', () => {
    const client = new Plain() as Plain & { connection?: { stream?: { bytesWritten: number } } };
    const control = new PgClientAdapter(client);
    expect(control.statementCount).toBeUndefined();
    client.connection = {};
    expect(control.statementCount).toBeUndefined();
    client.connection.stream = { bytesWritten: 7 };
    expect(control.statementCount).toBe(7);
  });

  it('rolls an open transaction back, and discards when it is told to', async () => {
    const client = new Plain();
    const control = new PgClientAdapter(client);
    client.status = 'E';
    expect(await control.reset('smart', 100)).toEqual({ rolledBack: true, cleared: false });
    client.status = 'I';
    expect(await control.reset('discard', 100)).toEqual({ rolledBack: false, cleared: true });
    expect(client.sent).toEqual(['ROLLBACK', 'DISCARD ALL']);
  });

  it('asks it whether it is alive, for so long', async () => {
    const client = new Plain();
    const control = new PgClientAdapter(client);
    await control.validate(1_000);
    client.answers = false;
    await expect(control.validate(20)).rejects.toThrow('did not answer within 20 ms');
    expect(client.sent).toEqual(['SELECT 1', 'SELECT 1']);
    await control.cancelRunning().then(() => undefined);
  });

  it('takes a class that throws, and one that cannot be ended, as it is', async () => {
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

  it('says goodbye, and destroys it when there is no answer', async () => {
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

  it('destroys one with a socket without a goodbye, for which nobody may be there', () => {
    const client = new Plain();
    const end = jest.spyOn(client, 'end');
    const stream = { destroy: jest.fn() };
    Object.assign(client, { connection: { stream } });
    const reason = new Error('enough');
    new PgClientAdapter(client).destroy(reason);
    expect(stream.destroy).toHaveBeenCalledWith(reason);
    expect(end).not.toHaveBeenCalled();
  });

  it('cancels nothing by host and port where its stream has reached another server, or nobody knows which', async () => {
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

  it('cancels by the Unix socket, which tells no port', async () => {
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

  it('destroys one without a socket by its goodbye, and takes it for lost', async () => {
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
