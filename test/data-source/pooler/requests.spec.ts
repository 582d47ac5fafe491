import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { BadRequestException, Controller, Get, Param } from '@nestjs/common';
import { DatabaseModule, DatabaseMonitor, InjectQueryRunner } from 'nestjs-database';
import type { QueryRunner } from 'typeorm';
import { createTestDatabase } from '../../support/database.js';
import type { TestDatabase } from '../../support/database.js';
import { startHttpApp } from '../../support/http-app.js';
import type { HttpApp } from '../../support/http-app.js';
import { describeWithPgBouncer } from '../../support/describe-with-pgbouncer.js';
import { startPgBouncer } from '../../support/pgbouncer.js';
import type { PgBouncer } from '../../support/pgbouncer.js';

@Controller()
class OrdersController {
  constructor(@InjectQueryRunner() private readonly runner: QueryRunner) {}

  /** Returns the orders of its own transaction, and what another request has left. */
  @Get(':kind/:id')
  async order(@Param('kind') kind: string, @Param('id') id: string) {
    await this.runner.startTransaction();
    const [left] = await this.runner.query(`SELECT current_setting('app.order', true) AS value`);
    await this.runner.query(`SELECT set_config('app.order', $1, true)`, [id]);
    await this.runner.query('INSERT INTO orders (id) VALUES ($1)', [id]);
    const own = await this.runner.query(
      `SELECT id FROM orders WHERE xmin::text = (txid_current() % (2^32)::bigint)::text`,
    );
    const [mine] = await this.runner.query(`SELECT current_setting('app.order') AS value`);
    if (kind === 'failing') throw new BadRequestException();
    if (kind === 'kept') await this.runner.commitTransaction();
    return { left: left.value || null, mine: mine.value, own };
  }
}

describeWithPgBouncer('200 requests at the same time behind PgBouncer', () => {
  describe.each(['transaction', 'session'] as const)('in %s mode', (mode) => {
    let database: TestDatabase;
    let bouncer: PgBouncer;
    let http: HttpApp;

    beforeAll(async () => {
      database = await createTestDatabase();
      await database.sql('CREATE TABLE orders (id int)');
      await database.sql('GRANT ALL ON orders TO app');
      bouncer = await startPgBouncer({
        url: database.url,
        mode,
        settings: { default_pool_size: mode === 'session' ? 15 : 4 },
      });
      http = await startHttpApp({
        imports: [DatabaseModule.forRoot({ url: bouncer.url, pool: { size: 5, maxOverflow: 10 } })],
        controllers: [OrdersController],
      });
    });
    afterAll(async () => {
      await http?.close();
      await bouncer?.dispose();
      await database.drop();
    });

    it('see no row and no setting of another request, whether they commit, forget to, or fail', async () => {
      const kinds = ['kept', 'forgotten', 'failing'] as const;
      const answers = await Promise.all(
        Array.from({ length: 200 }, async (_, id) => {
          const kind = kinds[id % kinds.length]!;
          return { id, kind, ...(await http.fetch(`/${kind}/${id}`)) };
        }),
      );
      for (const { id, kind, status, body } of answers) {
        expect(status).toBe(kind === 'failing' ? 400 : 200);
        if (kind !== 'failing') expect(body).toEqual({ left: null, mine: String(id), own: [{ id }] });
      }
      const rows = await database.sql<{ id: number }>('SELECT id FROM orders ORDER BY id');
      expect(rows.map(({ id }) => id)).toEqual(
        answers.filter(({ kind }) => kind === 'kept').map(({ id }) => id),
      );
      expect(http.app.get(DatabaseMonitor).poolStats()).toMatchObject({ checkedOut: 0, waiting: 0 });
    });
  });
});
