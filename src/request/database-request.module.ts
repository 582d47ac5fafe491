import { Module, type Provider, Scope } from '@nestjs/common';
import { APP_INTERCEPTOR, REQUEST } from '@nestjs/core';
import type { DataSource } from 'typeorm';
import { getDataSourceToken, getQueryRunnerToken } from '../database.tokens.js';
import { UnitsOfWork } from './units-of-work.js';

/** The request's units of work, for all data sources: a static module, so that several roots share it. */
@Module({
  providers: [UnitsOfWork, { provide: APP_INTERCEPTOR, useExisting: UnitsOfWork }],
  exports: [UnitsOfWork],
})
export class DatabaseRequestModule {}

/** The request's query runner on one data source. */
export function queryRunnerProvider(name: string): Provider {
  return {
    provide: getQueryRunnerToken(name),
    scope: Scope.REQUEST,
    inject: [UnitsOfWork, getDataSourceToken(name), REQUEST],
    useFactory: (units: UnitsOfWork, dataSource: DataSource, request: unknown) =>
      units.runnerOf(request, dataSource),
  };
}
