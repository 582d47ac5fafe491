import 'reflect-metadata';
import { Controller, Get, Module } from '@nestjs/common';
import { NestFactory } from '@nestjs/core';
import { DatabaseHealthModule, DatabaseModule, InjectQueryRunner } from 'nestjs-database';
import type { QueryRunner } from 'typeorm';

/** An app in a process of its own. DB_URL is its database, DB_SHUTDOWN_TIMEOUT the time that its shutdown may take. */
@Controller()
class SlowController {
  constructor(@InjectQueryRunner() private readonly runner: QueryRunner) {}

  /** Lasts for as long as the test holds the lock. */
  @Get('locked')
  async locked() {
    await this.runner.query('SELECT pg_advisory_xact_lock_shared(1)');
    return 'done';
  }

  @Get('forever')
  forever() {
    return this.runner.query('SELECT pg_sleep(600)');
  }
}

@Module({
  imports: [
    DatabaseModule.forRoot({ applicationName: 'shutdown', pool: { size: 20 }, timeouts: { statementMs: 0 } }),
    DatabaseHealthModule,
  ],
  controllers: [SlowController],
})
class AppModule {}

const app = await NestFactory.create(AppModule, { logger: ['warn', 'error'] });
app.enableShutdownHooks();
await app.listen(0, '127.0.0.1');
console.log(`listening on ${await app.getUrl()}`);
