import { Injectable } from '@nestjs/common';
import type { CanActivate, PipeTransform } from '@nestjs/common';
import { InjectQueryRunner } from 'nestjs-database';
import type { QueryRunner } from 'typeorm';
import { until } from '../support/until.js';

/** Events inside the app that the tests wait for. */
export const seen: string[] = [];
export const happened = async (what: string) => {
  await until(() => seen.includes(what));
};

/** Begins a transaction, and refuses the request. */
@Injectable()
export class QueryingGuard implements CanActivate {
  constructor(@InjectQueryRunner() private readonly runner: QueryRunner) {}
  async canActivate(): Promise<boolean> {
    await this.runner.startTransaction();
    return false;
  }
}

/** Sends a statement, and refuses the value `bad`. */
@Injectable()
export class QueryingPipe implements PipeTransform {
  constructor(@InjectQueryRunner() private readonly runner: QueryRunner) {}
  async transform(value: string): Promise<string> {
    await this.runner.query('SELECT 1');
    if (value === 'bad') throw new Error('refused by the pipe');
    return value;
  }
}
