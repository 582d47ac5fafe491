import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { Controller, Get } from '@nestjs/common';
import { APP_FILTER } from '@nestjs/core';
import { DatabaseHealthModule, DatabaseModule, InjectQueryRunner } from 'nestjs-database';
import { DataSource } from 'typeorm';
import type { QueryRunner } from 'typeorm';
import { OverloadedFilter } from '../../example/overloaded.filter.js';
import { createTestDatabase } from '../support/database.js';
import type { TestDatabase } from '../support/database.js';
import { startHttpApp } from '../support/http-app.js';
import type { HttpApp } from '../support/http-app.js';

@Controller()
class OneController {
  constructor(@InjectQueryRunner() private readonly runner: QueryRunner) {}

  @Get('one')
  one() {
    return this.runner.query('SELECT 1 AS one');
  }
}

describe('The answer of the example when all connections are in use', () => {
  let database: TestDatabase;
  let http: HttpApp;

  beforeAll(async () => {
    database = await createTestDatabase();
    http = await startHttpApp({
      imports: [
        DatabaseModule.forRoot({
          url: database.url,
          pool: { size: 1, maxOverflow: 0, acquireTimeoutMs: 1000 },
        }),
        DatabaseHealthModule,
      ],
      controllers: [OneController],
      providers: [{ provide: APP_FILTER, useClass: OverloadedFilter }],
    });
  });
  afterAll(async () => {
    await http?.close();
    await database.drop();
  });

  it('is 503 with Retry-After at the acquire timeout, while health is up and reports an exhausted pool', async () => {
    const holder = http.app.get(DataSource).createQueryRunner();
    await holder.query('SELECT 1 AS held');
    const refused = fetch(`${http.url}/one`);
    expect((await http.fetch('/health/db')).body.info.db).toMatchObject({
      status: 'up',
      pool: { status: 'exhausted' },
    });
    const response = await refused;
    expect(response.status).toBe(503);
    expect(response.headers.get('retry-after')).toBe('1');
    expect(http.logger.of('OverloadedFilter')[0]).toMatch(/1 of 1 connections in use.*SELECT 1 AS held/);
    await holder.release();
    expect((await http.fetch('/one')).status).toBe(200);
  });
});
