import { afterAll, afterEach, beforeAll, describe, expect, it } from '@jest/globals';
import type { INestApplicationContext, ModuleMetadata } from '@nestjs/common';
import type { TestingModule } from '@nestjs/testing';
import { DatabaseModule, getDataSourceToken, getRepositoryToken } from 'nestjs-database';
import { DataSource } from 'typeorm';
import { createTestDatabase } from '../support/database.js';
import type { TestDatabase } from '../support/database.js';
import { startHttpApp } from '../support/http-app.js';
import type { HttpApp } from '../support/http-app.js';
import { CodeOfDocs } from './code-of-docs.js';
import { blocksOf } from './markdown.js';

describe('The code in the documentation', () => {
  const environment = { ...process.env };
  let code: CodeOfDocs;
  let database: TestDatabase;
  let http: HttpApp | undefined;

  beforeAll(async () => {
    code = new CodeOfDocs();
    database = await createTestDatabase();
    const [table] = blocksOf('README.md', 'sql');
    await database.sql(table!.text);
    await database.sql('CREATE TABLE notes (text text)');
    await database.sql('ALTER TABLE users OWNER TO app');
    await database.sql('ALTER TABLE notes OWNER TO app');
  });
  afterEach(async () => {
    await http?.close();
    http = undefined;
    process.env = { ...environment };
  });
  afterAll(async () => {
    code.remove();
    await database.drop();
  });

  const load = (page: string, name: string) =>
    import(code.pathOf(page, name)) as Promise<Record<string, any>>;
  const start = async (metadata: ModuleMetadata) => (http = await startHttpApp(metadata));
  const post = (path: string, body: unknown) =>
    http!.fetch(path, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify(body),
    });
  const get = <T = any>(app: INestApplicationContext, token: unknown) =>
    app.get<T>(token as string, { strict: false });

  it('compiles in strict mode against the sources', () => {
    expect(code.problems()).toEqual([]);
  });

  it('serves the quick start: users, a transfer, refused transfers that change nothing, and health', async () => {
    process.env.DB_URL = database.url;
    const { AppModule } = await load('README.md', 'src/app.module.ts');
    await start({ imports: [AppModule] });
    const { id: from } = (await post('/users', { name: 'Ada', balance: 100 })).body;
    const { id: to } = (await post('/users', { name: 'Grace', balance: 0 })).body;
    expect(await post('/transfers', { from, to, amount: 30 })).toEqual({ status: 201, body: { moved: 30 } });
    expect((await post('/transfers', { from, to, amount: 71 })).status).toBe(500);
    for (const transfer of [
      { from: 99, to, amount: 30 },
      { from, to: 99, amount: 30 },
      { from: 98, to: 99, amount: 30 },
    ])
      expect((await post('/transfers', transfer)).status).toBe(404);
    expect((await http!.fetch('/users')).body).toEqual([
      { id: from, name: 'Ada', balance: 70 },
      { id: to, name: 'Grace', balance: 30 },
    ]);
    const balances = await database.sql('SELECT name, balance FROM users ORDER BY id');
    expect(balances).toEqual([
      { name: 'Ada', balance: 70 },
      { name: 'Grace', balance: 30 },
    ]);
    expect((await http!.fetch('/health/db')).status).toBe(200);
    expect(http!.logger.text).not.toContain('rolled back');
  });

  it('serves an app that was moved from TypeOrmModule', async () => {
    process.env.DATABASE_URL = database.url;
    const { AppModule } = await load('README.md', 'src/moved.module.ts');
    const { User } = await load('README.md', 'src/users/user.entity.ts');
    const { app } = await start({ imports: [AppModule] });
    expect(await get(app, getRepositoryToken(User)).countBy({ name: 'nobody' })).toBe(0);
  });

  it("uses a request's query runner, and the data source outside of requests", async () => {
    const { NotesController } = await load('docs/request.md', 'src/notes/notes.controller.ts');
    const { DashboardController } = await load('docs/request.md', 'src/dashboard.controller.ts');
    const { CleanUpJob } = await load('docs/request.md', 'src/jobs/clean-up.job.ts');
    const { app } = await start({
      imports: [DatabaseModule.forRoot({ url: database.url })],
      controllers: [NotesController, DashboardController],
      providers: [CleanUpJob],
    });
    expect((await post('/notes', { text: 'kept' })).body).toEqual({ created: 'kept' });
    expect((await post('/notes', { text: '' })).status).toBe(201);
    const job = get(app, CleanUpJob);
    expect(await job.run()).toBe(1);
    await job.refresh();
    expect((await http!.fetch('/notes')).body).toEqual([{ text: 'kept' }]);
    expect((await http!.fetch('/dashboard')).body).toMatchObject({ notes: [{ count: 1 }] });
  });

  it('serves health from a controller of the app', async () => {
    const { HealthModule } = await load('docs/health.md', 'src/health/health.module.ts');
    await start({ imports: [DatabaseModule.forRoot({ url: database.url }), HealthModule] });
    const { status, body } = await http!.fetch('/health');
    expect([status, Object.keys(body.info)]).toEqual([200, ['db', 'heap']]);
    expect((await http!.fetch('/health/db')).status).toBe(404);
  });

  it('has a second data source', async () => {
    process.env.DB_URL = database.url;
    process.env.REPORTING_URL = database.url;
    const { ReportingModule, ReportsService } = await load(
      'docs/configuration.md',
      'src/reporting.module.ts',
    );
    const { app } = await start({ imports: [ReportingModule] });
    const reports = get(app, ReportsService);
    expect(reports.dataSource).toBe(get(app, getDataSourceToken('reporting')));
    expect(reports.dataSource).not.toBe(get(app, DataSource));
    expect(reports.visits.metadata.tableName).toBe('visits');
  });

  it('reports the statistics of the monitor', async () => {
    const { StatusService } = await load('docs/monitoring.md', 'src/status.service.ts');
    const { timeouts } = await load('docs/monitoring.md', 'src/pool-counters.ts');
    const { app } = await start({
      imports: [DatabaseModule.forRoot({ url: database.url })],
      providers: [StatusService],
    });
    expect(await get(app, StatusService).status()).toMatchObject({
      connection: { status: 'up' },
      leaks: [],
      sizeFrom: 'profile',
    });
    expect(timeouts!(get(app, DataSource))).toBe(0);
  });

  it('uses the pool without Nest', async () => {
    process.env.DATABASE_URL = database.url;
    expect(await load('docs/pool.md', 'src/pool.ts')).toMatchObject({ leased: 0, idle: 1 });
  });

  it('tests an app without a database', async () => {
    const { testing } = (await load('docs/testing.md', 'src/testing-module.ts')) as {
      testing: TestingModule;
    };
    const { User } = await load('docs/testing.md', 'src/users/user.entity.ts');
    expect(get(testing, getRepositoryToken(User as never)).find()).toHaveLength(1);
    await testing.close();
  });
});
