import { afterAll, afterEach, beforeAll, describe, expect, it } from '@jest/globals';
import type { DatabaseModuleOptions } from 'nestjs-database';
import pg from 'pg';
import { describeWithPgBouncer } from '../../support/describe-with-pgbouncer.js';
import { NestModule } from '../../support/nest-module.js';
import { startPgBouncer } from '../../support/pgbouncer.js';
import type { PgBouncer, PoolMode } from '../../support/pgbouncer.js';
import { startPostgres } from '../../support/postgres-server.js';
import type { PostgresServer } from '../../support/postgres-server.js';
import { until } from '../../support/until.js';

describeWithPgBouncer('a data source behind PgBouncer', () => {
  let server: PostgresServer;
  const bouncers = new Map<PoolMode, PgBouncer>();
  let bouncer: PgBouncer;
  const nest = new NestModule();

  const start = async (options: DatabaseModuleOptions = {}) => {
    // The warnings are those of a data source without multiplexing.
    return nest.start({ url: bouncer.url, multiplex: false, ...options });
  };
  const started = () =>
    nest.logger.of('DatabaseModule').find((line) => line.startsWith('Connected to database')) ?? '';
  const warnings = () =>
    nest.logger.lines.filter(({ level }) => level === 'warn').map(({ message }) => message);
  /** Runs a statement as another client of the pooler. */
  const asOtherClient = async (sql: string) => {
    const client = new pg.Client(bouncer.url);
    await client.connect();
    const { rows } = await client.query<Record<string, unknown>>(sql);
    await client.end();
    return rows;
  };
  /** How many sessions of the server run this statement, queried on a direct connection. */
  const running = async (text: string) =>
    (
      await server.sql(
        `SELECT 1 FROM pg_stat_activity WHERE state <> 'idle' AND pid <> pg_backend_pid() AND query LIKE $1`,
        [`%${text}%`],
      )
    ).length;

  beforeAll(async () => {
    server = await startPostgres({ settings: { log_statement: 'all' } });
    await server.sql('CREATE TABLE ledger (id int)');
    await server.sql('GRANT ALL ON ledger TO app');
    for (const mode of ['transaction', 'session', 'statement'] as const)
      bouncers.set(
        mode,
        await startPgBouncer({
          url: server.url,
          mode,
          // In session mode each client connection keeps a server connection. In the other modes clients share a few.
          settings: { default_pool_size: mode === 'session' ? 25 : 5 },
        }),
      );
  });
  afterEach(async () => {
    await nest.close();
    await server.sql('TRUNCATE ledger');
  });
  afterAll(async () => {
    for (const one of bouncers.values()) await one.dispose();
    await server?.dispose();
  });

  describe.each(['transaction', 'session', 'statement'] as const)(
    'in %s mode, which is not configured',
    (mode) => {
      beforeAll(() => {
        bouncer = bouncers.get(mode)!;
      });

      it('starts at the first attempt and logs which side enforces the timeouts', async () => {
        const dataSource = await start({ connectRetry: 0 });
        expect(await dataSource.query('SELECT 1 AS one')).toEqual([{ one: 1 }]);
        expect(started()).toContain('pooler (detected, transaction mode assumed)');
        expect(started()).toContain('statement_timeout 30 s by the client');
        expect(started()).toContain('idle_in_transaction_session_timeout 60 s by the client');
        expect(warnings()).toEqual([]);
        expect(dataSource.pool!.snapshot().counters.connectFailures).toBe(0);
      });

      it('cancels a statement at its timeout on the server too, with the error of the server', async () => {
        const dataSource = await start({ timeouts: { statementMs: 300 } });
        const failing = dataSource.query(`SELECT 'over the limit', pg_sleep(60)`);
        await expect(failing).rejects.toMatchObject({
          code: '57014',
          message: 'canceling statement due to statement timeout',
          hint: expect.stringContaining('DB_STATEMENT_TIMEOUT'),
        });
        expect(await running('over the limit')).toBe(0);
        // The connection has survived.
        expect(await dataSource.query('SELECT 1 AS one')).toEqual([{ one: 1 }]);
        expect(dataSource.pool!.snapshot().counters.destroyed.broken).toBe(0);
      });

      it('cancels each of many concurrent statements at its timeout', async () => {
        const dataSource = await start({ timeouts: { statementMs: 300 }, pool: { size: 4, maxOverflow: 0 } });
        const results = await Promise.allSettled(
          Array.from({ length: 4 }, () => dataSource.query(`SELECT 'all over', pg_sleep(60)`)),
        );
        expect(results.map(({ status }) => status)).toEqual(Array(4).fill('rejected'));
        expect(await running('all over')).toBe(0);
      });

      it('sends no SET of its own and leaves nothing that another client could see', async () => {
        const before = server.log.length;
        const dataSource = await start({
          timeouts: { lockMs: 4321 },
          session: { 'app.tenant': 'mine', work_mem: '7MB' },
        });
        const runners = [1, 2, 3].map(() => dataSource.createQueryRunner());
        await Promise.all(runners.map((runner) => runner.query('SELECT 1')));
        await Promise.all(runners.map((runner) => runner.release()));
        await nest.close();
        const seen = await asOtherClient(
          `SELECT current_setting('statement_timeout') AS statement, current_setting('lock_timeout') AS lock,
           coalesce(current_setting('app.tenant', true), '') AS tenant, current_setting('work_mem') AS memory`,
        );
        expect(seen).toEqual([{ statement: '0', lock: '0', tenant: '', memory: '4MB' }]);
        const log = server.log
          .slice(before)
          .split('\n')
          .filter((line) => /statement:|execute/.test(line));
        expect(log.length).toBeGreaterThan(3);
        // The pooler passes on the application_name, which every client may set.
        const set = log.filter((line) => /\b(SET|set_config|RESET|DISCARD)\b/.test(line));
        expect(
          set.filter((line) => !/SET application_name=/i.test(line) && !/DISCARD ALL/.test(line)),
        ).toEqual([]);
        if (mode !== 'session') expect(set.filter((line) => /DISCARD/.test(line))).toEqual([]);
      });

      it('warns of each setting that is not in force, with a hint', async () => {
        await start({ timeouts: { lockMs: 4321 }, session: { 'app.tenant': 'my secret' } });
        const text = warnings().join('\n');
        expect(text).toContain('timeouts.lockMs (DB_LOCK_TIMEOUT) is not in force');
        expect(text).toContain(`ALTER ROLE … SET lock_timeout = '4321ms'`);
        expect(text).toContain('session.app.tenant is not in force');
        expect(warnings()).toHaveLength(2);
        expect(nest.logger.text).not.toContain('my secret');
      });

      it('recognises settings of the role that are in force', async () => {
        await server.sql(`ALTER ROLE app SET lock_timeout = '4s'`);
        try {
          // Server connections of the pooler that were opened before do not have the setting.
          await bouncer.stop();
          await bouncer.start();
          await start({ timeouts: { lockMs: 4_000 } });
          expect(warnings()).toEqual([]);
        } finally {
          await server.sql('ALTER ROLE app RESET lock_timeout');
          await nest.close();
          await bouncer.stop();
          await bouncer.start();
        }
      });

      it('executes named statements although other clients use the same names', async () => {
        const dataSource = await start({ pool: { size: 3, maxOverflow: 0 } });
        const work = async (text: string) => {
          const runner = dataSource.createQueryRunner();
          const client = (await runner.connect()) as pg.PoolClient;
          for (let i = 0; i < 20; i += 1) {
            const { rows } = await client.query<{ value: string }>({ name: 'mine', text, values: [i] });
            expect(rows).toEqual([{ value: expect.stringContaining(String(i)) }]);
          }
          await runner.release();
        };
        await Promise.all([
          work(`SELECT 'a' || $1 AS value`),
          work(`SELECT 'b' || $1 AS value`),
          work(`SELECT 'c' || $1 AS value`),
        ]);
      });

      it('reconnects when the pooler is available again', async () => {
        const dataSource = await start();
        await dataSource.query('SELECT 1');
        await bouncer.stop();
        await expect(dataSource.query('SELECT 1')).rejects.toThrow();
        await bouncer.start();
        expect(await dataSource.query('SELECT 1 AS one')).toEqual([{ one: 1 }]);
      });

      it('closes cleanly while a statement runs', async () => {
        const dataSource = await start({ timeouts: { shutdownMs: 200 } });
        const cancelled = expect(dataSource.query(`SELECT 'still running', pg_sleep(60)`)).rejects.toThrow();
        await until(async () => (await running('still running')) > 0);
        await nest.close();
        await cancelled;
        await until(async () => (await running('still running')) === 0);
        expect(dataSource.isInitialized).toBe(false);
      });
    },
  );

  it('in statement mode reports that transactions are not allowed, and continues to work', async () => {
    bouncer = bouncers.get('statement')!;
    const dataSource = await start();
    const failing = dataSource.transaction((manager) => manager.query('INSERT INTO ledger VALUES (1)'));
    await expect(failing).rejects.toThrow('transaction blocks not allowed in statement pooling mode');
    expect(await dataSource.query('SELECT * FROM ledger')).toEqual([]);
    await dataSource.query('INSERT INTO ledger VALUES (2)');
    expect(await dataSource.query('SELECT * FROM ledger')).toEqual([{ id: 2 }]);
  });

  describe.each(['transaction', 'session'] as const)('in %s mode, which is not configured', (mode) => {
    beforeAll(() => {
      bouncer = bouncers.get(mode)!;
    });

    it('ends and rolls back an idle transaction, with an error that names the setting', async () => {
      const dataSource = await start({ timeouts: { idleInTransactionMs: 300 } });
      const runner = dataSource.createQueryRunner();
      await runner.startTransaction();
      await runner.query('INSERT INTO ledger VALUES (1)');
      const connection = (await runner.connect()) as pg.PoolClient;
      await new Promise<void>((resolve) => connection.once('end', resolve));
      await expect(runner.query('SELECT 1')).rejects.toMatchObject({
        code: '25P03',
        driverError: { hint: expect.stringContaining('DB_IDLE_IN_TRANSACTION_TIMEOUT') },
      });
      await runner.release();
      // The pooler ends the session of the server once it has noticed the end of the connection.
      await until(async () => (await running('INSERT INTO ledger')) === 0);
      expect(await dataSource.query('SELECT * FROM ledger')).toEqual([]);
    });

    it('does not end a working transaction that lasts longer than the idle timeout', async () => {
      const dataSource = await start({ timeouts: { idleInTransactionMs: 400 } });
      await dataSource.transaction(async (manager) => {
        for (let i = 0; i < 4; i += 1) await manager.query('SELECT pg_sleep(0.2)');
        await manager.query('INSERT INTO ledger VALUES (1)');
      });
      expect(await dataSource.query('SELECT * FROM ledger')).toEqual([{ id: 1 }]);
    });

    it('isolates 200 concurrent transactions, half of which fail', async () => {
      const dataSource = await start({ pool: { size: 10, maxOverflow: 10 } });
      const results = await Promise.allSettled(
        Array.from({ length: 200 }, (_, id) =>
          dataSource.transaction(async (manager) => {
            const [before] = await manager.query(`SELECT current_setting('app.id', true) AS id`);
            await manager.query(`SELECT set_config('app.id', $1, true)`, [String(id)]);
            await manager.query('INSERT INTO ledger VALUES ($1)', [id]);
            const [after] = await manager.query(`SELECT current_setting('app.id') AS id`);
            if (id % 2 === 1) throw new Error('rolled back');
            return [before.id || null, after.id];
          }),
        ),
      );
      expect(results.map((result) => (result.status === 'fulfilled' ? result.value : 'rolled back'))).toEqual(
        Array.from({ length: 200 }, (_, id) => (id % 2 === 1 ? 'rolled back' : [null, String(id)])),
      );
      const rows = await server.sql<{ id: number }>('SELECT id FROM ledger ORDER BY id');
      expect(rows.map(({ id }) => id)).toEqual(Array.from({ length: 100 }, (_, i) => i * 2));
    });

    it('rolls back a transaction that a borrower leaves open', async () => {
      const dataSource = await start();
      const runner = dataSource.createQueryRunner();
      await runner.startTransaction();
      await runner.query('INSERT INTO ledger VALUES (1)');
      await runner.release();
      expect(await dataSource.query('SELECT * FROM ledger')).toEqual([]);
    });

    it('warns once of a SET of the app, with borrower and statement, and resets no session of other clients', async () => {
      const before = server.log.length;
      const dataSource = await start({ pool: { size: 1, maxOverflow: 0 } });
      const runner = dataSource.runners.create('master', {
        name: 'GET /tenants',
        isPinningAllowed: true,
        isOver: false,
        isHandlerRunning: () => true,
        beforeUse: () => undefined,
        onPinned: () => undefined,
        addPendingAcquire: () => () => undefined,
      });
      for (let i = 0; i < 3; i += 1) {
        await runner.query(`SET app.tenant = 'left behind'`);
        await runner.runnerConnection.release();
      }
      await runner.release();
      await dataSource.query('SELECT 1');
      const said = warnings().filter((line) => line.includes('has changed the session'));
      expect(said).toHaveLength(1);
      expect(said[0]).toContain('GET /tenants');
      expect(said[0]).toContain(`SET app.tenant = 'left behind'`);
      expect(server.log.slice(before)).not.toContain('DISCARD ALL');
      await nest.close();
      await asOtherClient('DISCARD ALL');
    });
  });
});
