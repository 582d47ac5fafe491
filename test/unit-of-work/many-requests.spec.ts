import { get, Agent } from 'node:http';
import { getHeapSpaceStatistics, setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { BadRequestException, Body, Controller, Get, Param } from '@nestjs/common';
import { DatabaseModule, DatabaseMonitor, InjectQueryRunner, InjectUnitOfWork } from 'nestjs-database';
import type { UnitOfWork } from 'nestjs-database';
import { DataSource } from 'typeorm';
import type { QueryRunner } from 'typeorm';
import { createTestDatabase } from '../support/database.js';
import type { TestDatabase } from '../support/database.js';
import { ADAPTERS, startHttpApp } from '../support/http-app.js';
import type { HttpApp } from '../support/http-app.js';
import { poolAtRest } from '../support/pool-at-rest.js';

const KINDS = ['read', 'write', 'forgotten', 'failing', 'session', 'further', 'data-source', 'slow'];

@Controller()
class MixedController {
  constructor(
    @InjectQueryRunner() private readonly runner: QueryRunner,
    @InjectUnitOfWork() private readonly unit: UnitOfWork,
    private readonly dataSource: DataSource,
  ) {}

  @Get(':kind')
  async serve(@Param('kind') kind: string, @Body() _body: unknown) {
    // State that another request has left would show here.
    const [{ tenant }] = (await this.runner.query(
      `SELECT current_setting('app.tenant', true) AS tenant`,
    )) as [{ tenant: string | null }];
    switch (kind) {
      case 'write':
      case 'forgotten':
      case 'failing':
        await this.runner.startTransaction();
        await this.runner.query('INSERT INTO counted (kind) VALUES ($1)', [kind]);
        if (kind === 'failing') throw new BadRequestException();
        if (kind === 'write') await this.runner.commitTransaction();
        break;
      case 'session':
        await this.runner.query(`SET app.tenant = 'mine'`);
        break;
      case 'further':
        await this.runner.release();
        await this.unit.createQueryRunner().query('SELECT 1');
        break;
      case 'data-source':
        await this.runner.release();
        await this.dataSource.query('SELECT 1');
        break;
      case 'slow':
        await this.runner.query('SELECT pg_sleep(0.005)');
        break;
    }
    return { tenant };
  }
}

describe.each(ADAPTERS)(
  'four thousand requests of all kinds on %s, many of whose clients disconnect,',
  (_name, adapter) => {
    let database: TestDatabase;
    let http: HttpApp;
    const agent = new Agent({ keepAlive: true, maxSockets: 40 });

    /** Sends one request. After `disconnectMs` milliseconds, if given, the client disconnects. */
    const request = (kind: string, disconnectMs: number | undefined) =>
      new Promise<string>((resolve) => {
        const sent = get(`${http.url}/${kind}`, { agent }, (response) => {
          let text = '';
          response.on('data', (chunk: Buffer) => (text += chunk.toString()));
          response.on('end', () => resolve(text));
        });
        sent.on('error', () => resolve('disconnected'));
        if (disconnectMs !== undefined) setTimeout(() => sent.destroy(), disconnectMs);
      });
    /** Sends requests and returns the answers that contain state of another request. */
    const serve = async (count: number) => {
      const leaks: string[] = [];
      let next = 0;
      const worker = async () => {
        while (next < count) {
          const i = next++;
          const answer = await request(KINDS[i % KINDS.length]!, i % 5 === 0 ? (i / 5) % 12 : undefined);
          if (answer.includes('mine')) leaks.push(answer);
        }
      };
      await Promise.all(Array.from({ length: 40 }, worker));
      return leaks;
    };
    const memory = () => {
      setFlagsFromString('--expose-gc');
      (runInNewContext('gc') as () => void)();
      // Without large objects: a growing hash table is one object of megabytes, and a leaked request is many small ones.
      return getHeapSpaceStatistics()
        .filter(({ space_name }) => !space_name.includes('large_object'))
        .reduce((sum, { space_used_size }) => sum + space_used_size, 0);
    };

    beforeAll(async () => {
      database = await createTestDatabase();
      await database.sql('CREATE TABLE counted (kind text)');
      await database.sql('ALTER TABLE counted OWNER TO app');
      http = await startHttpApp(
        {
          imports: [
            DatabaseModule.forRoot({
              url: database.url,
              applicationName: 'mixed',
              pool: { size: 5, maxOverflow: 3, acquireTimeoutMs: 20_000, leakThresholdMs: 0 },
            }),
          ],
          controllers: [MixedController],
        },
        undefined,
        adapter(),
      );
      // The logger would keep a warning for each forgotten transaction in memory.
      http.logger.keepNothing();
    });
    afterAll(async () => {
      agent.destroy();
      await http?.close();
      await database.drop();
    });

    it('leave no lease, no open transaction, no state of another request, and no memory behind', async () => {
      const leaks = await serve(3000);
      const before = memory();
      leaks.push(...(await serve(7000)));
      expect(leaks).toEqual([]);
      const monitor = http.app.get(DatabaseMonitor);
      await poolAtRest(http.app.get(DataSource));
      expect(monitor.poolStats().waiting).toBe(0);
      expect(
        await database.sql(
          `SELECT state FROM pg_stat_activity WHERE application_name = 'mixed' AND state LIKE 'idle in%'`,
        ),
      ).toEqual([]);
      const kinds = await database.sql<{ kind: string }>('SELECT DISTINCT kind FROM counted');
      expect(kinds).toEqual([{ kind: 'write' }]);
      // A leaked runner or request would take a kilobyte or more for each of the 7 000 requests.
      const growth = memory() - before;
      expect(growth).toBeLessThan(5_000_000);
    }, 240_000);
  },
);
