import { execFile } from 'node:child_process';
import { connect } from 'node:http2';
import type { ClientHttp2Session, ClientHttp2Stream } from 'node:http2';
import { promisify } from 'node:util';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from '@jest/globals';
import { FastifyAdapter } from '@nestjs/platform-fastify';
import type { NestFastifyApplication } from '@nestjs/platform-fastify';
import { Test } from '@nestjs/testing';
import { DatabaseMonitor } from 'nestjs-database';
import { DataSource } from 'typeorm';
import { CapturingLogger } from '../support/capturing-logger.js';
import { createTestDatabase } from '../support/database.js';
import type { TestDatabase } from '../support/database.js';
import { happened, seen } from './enhancers.js';
import { AppModule } from './fastify-app.js';
import { poolAtRest } from '../support/pool-at-rest.js';
import { until } from '../support/until.js';

let database: TestDatabase;
const { DB_URL } = process.env;
beforeAll(async () => {
  database = await createTestDatabase();
  process.env.DB_URL = database.url;
});
afterAll(async () => {
  if (DB_URL === undefined) delete process.env.DB_URL;
  else process.env.DB_URL = DB_URL;
  await database.drop();
});

describe('the end of a request on Fastify by HTTP/2', () => {
  let app: NestFastifyApplication;
  let session: ClientHttp2Session;

  const open = (path: string): ClientHttp2Stream => session.request({ ':path': path });
  const answer = async (path: string): Promise<{ status: number; text: string }> => {
    const stream = open(path);
    let status = 0;
    stream.once('response', (headers) => (status = Number(headers[':status'])));
    let text = '';
    for await (const chunk of stream) text += String(chunk);
    return { status, text };
  };
  const everythingReleased = async () => {
    await poolAtRest(app.get(DataSource));
    expect(
      await database.sql(
        `SELECT state FROM pg_stat_activity WHERE application_name = 'request-end-fastify' AND state LIKE 'idle in%'`,
      ),
    ).toEqual([]);
  };

  beforeAll(async () => {
    const module = await Test.createTestingModule({ imports: [AppModule] })
      .setLogger(new CapturingLogger())
      .compile();
    app = module.createNestApplication(new FastifyAdapter({ http2: true } as object));
    await app.listen(0, '127.0.0.1');
    session = connect(await app.getUrl());
  });
  beforeEach(() => {
    seen.length = 0;
  });
  afterEach(everythingReleased);
  afterAll(async () => {
    session?.close();
    await app?.close();
  });

  it('releases the connection after an answer', async () => {
    expect(await answer('/quick')).toEqual({ status: 200, text: '[{"one":1}]' });
  });

  it('releases the connection of a guard or a pipe that refuses the request', async () => {
    expect((await answer('/guarded')).status).toBe(403);
    await everythingReleased();
    expect((await answer('/piped/bad')).status).toBe(500);
  });

  it('releases the connection of a middleware that answers the request', async () => {
    expect((await answer('/middleware/answering')).text).toBe('by the middleware');
  });

  it('releases the connection of a middleware when a guard without a connection refuses the request', async () => {
    expect((await answer('/middleware/refused')).status).toBe(403);
  });

  it('lets an exception filter query outside of the transaction of the handler', async () => {
    expect(await answer('/filtered')).toEqual({ status: 418, text: '[{"outside":true}]' });
  });

  it('lets a handler outlive its response', async () => {
    expect((await answer('/outliving')).text).toBe('early');
    await happened('outlived');
  });

  it('cancels the wait for a connection when the client disconnects, without leaking a connection', async () => {
    const runners = [1, 2].map(() => app.get(DataSource).createQueryRunner());
    await Promise.all(runners.map((runner) => runner.connect()));
    const stream = open('/waiting');
    await happened('waiting began');
    await until(() => app.get(DatabaseMonitor).poolStats().waiting > 0);
    stream.close();
    await happened('waiting ended by POOL_ACQUIRE_CANCELLED');
    await Promise.all(runners.map((runner) => runner.release()));
  });
});

describe('the end of a request on Fastify by inject(), without an HTTP server', () => {
  const inject = async (...paths: string[]) => {
    const { stdout } = await promisify(execFile)(
      process.execPath,
      ['--import', './test/support/typescript.mjs', 'test/unit-of-work/injecting.ts', ...paths],
      { env: { PATH: process.env.PATH, DB_URL: database.url } },
    );
    return JSON.parse(stdout) as { status: number; text: string; checkedOut: number }[];
  };

  it('releases the connections of handlers, guards, pipes, middleware and exception filters', async () => {
    const answers = await inject(
      '/quick',
      '/guarded',
      '/piped/bad',
      '/middleware/refused',
      '/filtered',
      '/outliving',
    );
    expect(answers.map(({ status, checkedOut }) => [status, checkedOut])).toEqual([
      [200, 0],
      [403, 0],
      [500, 0],
      [403, 0],
      [418, 0],
      [200, 0],
    ]);
  });
});
