import { Controller, Get } from '@nestjs/common';
import { InjectQueryRunner } from 'nestjs-database';
import type { QueryRunner } from 'typeorm';

/** Handlers that are quick, that never end by themselves, and that keep a transaction open. */
@Controller()
export class WorkController {
  constructor(@InjectQueryRunner() private readonly runner: QueryRunner) {}

  @Get('quick')
  quick() {
    return this.runner.query('SELECT 1 AS one');
  }

  @Get('busy')
  busy() {
    return this.runner.query('SELECT pg_sleep(30)');
  }

  @Get('transaction')
  async transaction() {
    await this.runner.startTransaction();
    await this.runner.query('SELECT pg_sleep(0.8)');
    await this.runner.commitTransaction();
  }
}
