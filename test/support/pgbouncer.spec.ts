import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { createInterface } from 'node:readline';
import { expect, it } from '@jest/globals';
import pg from 'pg';
import { createTestDatabase } from './database.js';
import { describeWithPgBouncer } from './describe-with-pgbouncer.js';
import { startPgBouncer } from './pgbouncer.js';
import { childrenOf, ended, isRunning } from './processes.js';

describeWithPgBouncer('a PgBouncer for tests', () => {
  it('passes statements on, and ends with its folder at dispose()', async () => {
    const database = await createTestDatabase();
    const bouncer = await startPgBouncer({ url: database.url, mode: 'transaction' });
    const client = new pg.Client(bouncer.url);
    await client.connect();
    expect((await client.query('SELECT current_database() AS name')).rows).toEqual([{ name: database.name }]);
    await client.end();
    await bouncer.dispose();
    const late = new pg.Client(bouncer.url);
    await expect(late.connect()).rejects.toMatchObject({ code: 'ECONNREFUSED' });
    await database.drop();
  });

  it('ends with the process that started it, even when that is killed', async () => {
    const script = `
      import { startPgBouncer } from './test/support/pgbouncer.ts';
      await startPgBouncer({ url: 'postgres://app:x@127.0.0.1:1/app', mode: 'session' });
      console.log('started');
      setInterval(() => undefined, 1_000);
    `;
    const child = spawn(
      process.execPath,
      ['--import', './test/support/typescript.mjs', '--input-type=module', '-e', script],
      { stdio: ['ignore', 'pipe', 'inherit'] },
    );
    const gone = once(child, 'exit').then(([code]) => Promise.reject(new Error(`It ended with ${code}`)));
    await Promise.race([once(createInterface(child.stdout), 'line'), gone]);
    gone.catch(() => undefined);
    const processes = childrenOf(child.pid!);
    expect(processes.filter(isRunning).length).toBeGreaterThanOrEqual(2);
    child.kill('SIGKILL');
    await ended(processes);
  });
});
