import { afterAll, afterEach, beforeAll, describe, expect, it } from '@jest/globals';
import type { ManagedDataSource } from 'nestjs-database';
import { createTestDatabase } from '../support/database.js';
import type { TestDatabase } from '../support/database.js';
import { NestModule } from '../support/nest-module.js';

const TEXT = 'SELECT $1::text AS value';

describe('the statements of one query runner', () => {
  let database: TestDatabase;
  const nest = new NestModule();

  beforeAll(async () => {
    database = await createTestDatabase();
  });
  afterEach(() => nest.close());
  afterAll(() => database.drop());

  /** Sends a statement that waits for the connection, and a second one a number of microtasks after the release of that connection. */
  async function sendBoth(dataSource: ManagedDataSource, microtasks: number): Promise<string> {
    const holders = [dataSource.createQueryRunner(), dataSource.createQueryRunner()];
    for (const holder of holders) await holder.connect();
    const runner = dataSource.createQueryRunner();
    const answered: string[] = [];
    const send = async (name: string) => {
      await runner.query(TEXT, [name]);
      answered.push(name);
    };
    const first = send('first');
    const released = holders.map((holder) => holder.release());
    for (let passed = 0; passed < microtasks; passed += 1) await Promise.resolve();
    await Promise.all([first, send('second'), ...released]);
    await runner.release();
    return answered.join();
  }

  it.each([false, { connections: 1 }] as const)(
    'are sent in the order of the calls, whenever the second one comes, with multiplex: %j',
    async (multiplex) => {
      const dataSource = await nest.start({
        url: database.url,
        pool: { size: 2, maxOverflow: 0 },
        multiplex,
      });
      for (let call = 0; call < 40; call += 1) await dataSource.query(TEXT, ['known']);
      if (multiplex) expect(dataSource.pool!.snapshot().multiplex!.shared).toBeGreaterThan(0);
      const orders = [];
      for (let microtasks = 0; microtasks < 30; microtasks += 1)
        orders.push(await sendBoth(dataSource, microtasks));
      expect(orders).toEqual(Array(30).fill('first,second'));
    },
  );
});
