import { execFile } from 'node:child_process';
import { promisify } from 'node:util';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { Logger } from '@nestjs/common';
import { Test } from '@nestjs/testing';
import { DatabaseModule } from 'nestjs-database';
import { DataSource } from 'typeorm';
import { createTestDatabase } from '../../support/database.js';
import type { TestDatabase } from '../../support/database.js';
import { freePort } from '../../support/ports.js';

describe('an app that fails to start with abortOnError: false', () => {
  let database: TestDatabase;
  beforeAll(async () => {
    database = await createTestDatabase();
  });
  afterAll(() => database.drop());

  it.each([
    ['since a provider fails after the data source has connected', 'provider', /this provider fails/],
    ['since one data source is refused while another one tries again', 'sources', /missing_database/],
  ])('leaves a process that ends by itself %s', async (_why, how, reason) => {
    const closed = `postgres://app@127.0.0.1:${await freePort()}/app`;
    const { stdout } = await promisify(execFile)(
      process.execPath,
      [
        '--import',
        './test/support/typescript.mjs',
        'test/data-source/startup/failing-app.ts',
        how,
        database.url,
        closed,
      ],
      // Twenty retries would take minutes.
      { timeout: 15_000 },
    );
    expect(JSON.parse(stdout)).toEqual({ failure: expect.stringMatching(reason), subscribed: false });
  });

  it('cancels the start of a data source that is destroyed meanwhile', async () => {
    Logger.overrideLogger(false);
    const module = await Test.createTestingModule({
      imports: [
        DatabaseModule.forRoot({
          url: `postgres://app@127.0.0.1:${await freePort()}/app`,
          startup: 'off',
          connectRetry: { retries: 20 },
        }),
      ],
    }).compile();
    const dataSource = module.get(DataSource);
    const starting = dataSource.initialize().then(
      () => undefined,
      (error: { code?: string }) => error.code,
    );
    await dataSource.destroy();
    expect(await starting).toBe('DATA_SOURCE_CLOSED');
    await module.close();
  });
});
