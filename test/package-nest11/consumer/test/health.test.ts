import { Controller, Get } from '@nestjs/common';
import { HealthCheck, HealthCheckService, TerminusModule } from '@nestjs/terminus';
import {
  DatabaseHealthIndicator,
  DatabaseHealthModule,
  DatabaseModule,
  DatabaseMonitor,
} from 'nestjs-database';
import { DataSource } from 'typeorm';
import { Gate, type Http, startHttp } from './support';

@Controller('my-health')
class MyHealthController {
  constructor(
    private readonly health: HealthCheckService,
    private readonly database: DatabaseHealthIndicator,
  ) {}

  @Get()
  @HealthCheck()
  check() {
    return this.health.check([() => this.database.pingCheck('postgres', { timeoutMs: 500 })]);
  }
}

describe('GET /health/db on Terminus 11', () => {
  const gate = new Gate();
  let http: Http | undefined;

  beforeAll(() => gate.open());
  afterEach(async () => {
    await http?.app.close();
    http = undefined;
  });
  afterAll(() => gate.close());

  it('answers 200 with latency, the name of the database and the counts of the pool', async () => {
    http = await startHttp({ imports: [DatabaseModule.forRoot(), DatabaseHealthModule] });
    const { status, body } = await http.fetch('/health/db');
    expect(status).toBe(200);
    const db = {
      status: 'up',
      latency_ms: expect.any(Number),
      database: expect.stringMatching(/^test_/),
      pool: { size: 2, checkedIn: 1, checkedOut: 0, overflow: 0, waiting: 0, max: 7, status: 'ok' },
    };
    expect(body).toEqual({ status: 'ok', info: { db }, error: {}, details: { db } });
  });

  it('answers 503 with the reason while the database is down, and 200 afterwards', async () => {
    http = await startHttp({ imports: [DatabaseModule.forRoot({ url: gate.url }), DatabaseHealthModule] });
    await gate.close();
    const { status, body } = await http.fetch('/health/db');
    expect(status).toBe(503);
    expect(body).toMatchObject({
      status: 'error',
      info: {},
      error: { db: { status: 'down', code: 'CONNECTION_REFUSED', message: expect.any(String) } },
    });
    await gate.open();
    expect((await http.fetch('/health/db')).status).toBe(200);
    expect(http.app.get(DatabaseMonitor).poolStats().checkedOut).toBe(0);
  });

  it('is up and reports an exhausted pool when all its connections are leased', async () => {
    http = await startHttp({
      imports: [DatabaseModule.forRoot({ pool: { size: 1, maxOverflow: 0 } }), DatabaseHealthModule],
    });
    const runner = http.app.get(DataSource).createQueryRunner();
    await runner.query('SELECT 1');
    const { status, body } = await http.fetch('/health/db');
    await runner.release();
    expect(status).toBe(200);
    expect(body.info.db).toMatchObject({ status: 'up', pool: { status: 'exhausted', waiting: 0 } });
  });

  it('takes its path and its key from its options', async () => {
    http = await startHttp({
      imports: [
        DatabaseModule.forRoot(),
        DatabaseHealthModule.forRoot({ path: 'status/database', key: 'postgres' }),
      ],
    });
    const { status, body } = await http.fetch('/status/database');
    expect([status, body.info.postgres.status]).toEqual([200, 'up']);
    expect((await http.fetch('/health/db')).status).toBe(404);
  });

  it('provides the indicator alone, for a controller of the app', async () => {
    http = await startHttp({
      imports: [DatabaseModule.forRoot(), DatabaseHealthModule.forRoot({ path: false }), TerminusModule],
      controllers: [MyHealthController],
    });
    expect((await http.fetch('/my-health')).body.info.postgres.status).toBe('up');
  });
});
