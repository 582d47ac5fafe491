import { describe, expect, it } from '@jest/globals';
import { Client } from 'pg';
import { ScriptedServer } from '../../../test/support/scripted-server.js';
import { MessageWriter } from './message-writer.js';
import { PgInternals } from './pg-internals.js';

/** What `pg` writes for a named statement. */
async function writtenByPg(text: string, values: unknown[]): Promise<Buffer> {
  const server = new ScriptedServer();
  const client = new Client({ user: 'app', database: 'app', stream: () => server });
  client.on('error', () => undefined);
  await client.connect();
  const written: Buffer[] = [];
  new PgInternals(client).wire!._send = (message) => void written.push(message);
  void client.query({ name: 'named', text, values }).catch(() => undefined);
  server.destroy();
  return Buffer.concat(written);
}

describe('A writer of messages', () => {
  it('writes Parse, Bind, Execute and Sync as pg does, with Describe before the values', async () => {
    const values = [1, 'two', null, new Date(0), [3, 4], { five: 6 }, Buffer.from('seven'), true, 8n];
    const text = 'SELECT $1, $2, $3, $4, $5, $6, $7, $8, $9';
    const writer = new MessageWriter();
    const [bind, executeAndSync] = writer.execution('named', values);
    writer.parse('named', text);
    const [parse, describe] = writer.take();
    const describePortal = Buffer.from('D\0\0\0\x06P\0');
    expect(Buffer.concat([parse!, bind, describePortal, executeAndSync])).toEqual(
      await writtenByPg(text, values),
    );
    expect(describe!.toString()).toBe('D\0\0\0\x0bSnamed\0');
  });

  it('writes nothing of a statement whose value cannot be sent', () => {
    const writer = new MessageWriter();
    const value = { toPostgres: () => { throw new Error('no text'); } }; // prettier-ignore
    expect(() => writer.execution('named', [value])).toThrow('no text');
    expect(writer.take()).toEqual([]);
    writer.close('named');
    expect(writer.take()[0]!.toString()).toMatch(/^C.*Snamed\0$/s);
  });
});
