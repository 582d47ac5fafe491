import { type ArgumentsHost, Catch, type ExceptionFilter } from '@nestjs/common';
import { APP_FILTER } from '@nestjs/core';
import { DatabaseModule, DatabaseMonitor, ManagedDataSource } from 'nestjs-database';
import { DataSource } from 'typeorm';
import { NotesController, NotesService } from '../src/notes.controller';
import { emptyTable, type Http, sql, startHttp } from './support';

describe('A query runner for each request on Express 5', () => {
  let http: Http;
  const notes = async () => (await sql('SELECT text FROM notes')).map(({ text }) => text as string);
  /** The response may arrive shortly before the server emits its 'close'. */
  const everythingGivenBack = async () => {
    const monitor = http.app.get(DatabaseMonitor);
    while (monitor.poolStats().checkedOut > 0) await new Promise((resolve) => setTimeout(resolve, 5));
  };

  beforeAll(async () => {
    http = await startHttp({
      imports: [DatabaseModule.forRoot({ pool: { size: 1, maxOverflow: 1, acquireTimeoutMs: 2000 } })],
      controllers: [NotesController],
      providers: [NotesService],
    });
  });
  beforeEach(() => emptyTable('notes', 'text text'));
  afterAll(() => http?.app.close());

  it('is the same for all injections in one request', async () => {
    expect((await http.fetch('/notes/same')).body).toEqual({ same: true });
  });

  it('keeps a committed transaction', async () => {
    expect((await http.fetch('/notes', { text: 'kept' })).status).toBe(201);
    expect(await notes()).toEqual(['kept']);
  });

  it('is rolled back when a commit is forgotten, with a warning that names the route', async () => {
    expect((await http.fetch('/notes/forgotten', { text: 'lost' })).status).toBe(201);
    await everythingGivenBack();
    expect(await notes()).toEqual([]);
    expect(http.log.join('\n')).toMatch(/POST \/notes\/forgotten/);
  });

  it('is rolled back when the handler fails', async () => {
    expect((await http.fetch('/notes/failing', { text: 'lost' })).status).toBe(409);
    await everythingGivenBack();
    expect(await notes()).toEqual([]);
  });

  it('works in a route with a wildcard of Express 5', async () => {
    expect((await http.fetch('/notes/files/a/b')).body).toEqual([{ one: 1 }]);
  });

  it('serves many more requests than there are connections, and all connections are released', async () => {
    const answers = await Promise.all(
      Array.from({ length: 40 }, (_, i) =>
        http.fetch(i % 2 ? '/notes' : '/notes/forgotten', { text: `note ${i}` }),
      ),
    );
    expect(answers.map(({ status }) => status)).toEqual(Array<number>(40).fill(201));
    await everythingGivenBack();
    expect(await notes()).toHaveLength(20);
  });

  const settings = { pool: { size: 1, maxOverflow: 1, acquireTimeoutMs: 1000 } };
  const whileFull = async ({ app, fetch }: Http) => {
    const { pool } = app.get<ManagedDataSource>(DataSource);
    const held = await Promise.all([pool!.acquire(), pool!.acquire()]);
    const answer = await fetch('/notes/files/a');
    for (const connection of held) connection.release();
    return answer;
  };

  it('is answered with 503 and logged at debug while no connection becomes available', async () => {
    const busy = await startHttp({
      imports: [DatabaseModule.forRoot(settings)],
      controllers: [NotesController],
      providers: [NotesService],
    });
    expect(await whileFull(busy)).toEqual({
      status: 503,
      body: {
        statusCode: 503,
        error: 'Service Unavailable',
        message: 'The service is busy; try again shortly.',
      },
    });
    expect(busy.log.join('\n')).not.toContain('ExceptionsHandler');
    await busy.app.close();
  });

  it('is answered by a filter of the app for every error', async () => {
    @Catch()
    class Teapot implements ExceptionFilter {
      catch(_: unknown, host: ArgumentsHost) {
        host.switchToHttp().getResponse().status(418).json({});
      }
    }
    const own = await startHttp({
      imports: [DatabaseModule.forRoot(settings)],
      controllers: [NotesController],
      providers: [NotesService, { provide: APP_FILTER, useClass: Teapot }],
    });
    expect((await whileFull(own)).status).toBe(418);
    await own.app.close();
  });
});
