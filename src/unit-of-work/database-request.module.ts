import { Module, Scope } from '@nestjs/common';
import type { Provider } from '@nestjs/common';
import { APP_INTERCEPTOR, REQUEST } from '@nestjs/core';
import type { DataSource } from 'typeorm';
import { getDataSourceToken, getQueryRunnerToken, getUnitOfWorkToken } from '../database.tokens.js';
import { HttpErrorsFilter } from './http/http-errors.filter.js';
import type { RequestUnit } from './foreign-unit-of-work.js';
import { UnitsOfWork } from './units-of-work.js';

/** The request's units of work, for all data sources: a static module, so that several roots share it. */
@Module({
  providers: [HttpErrorsFilter, UnitsOfWork, { provide: APP_INTERCEPTOR, useExisting: UnitsOfWork }],
  exports: [HttpErrorsFilter, UnitsOfWork],
})
export class DatabaseRequestModule {}

/** The request's unit of work on one data source, and its query runner. */
export function requestProviders(name: string): Provider[] {
  return [
    {
      provide: getUnitOfWorkToken(name),
      scope: Scope.REQUEST,
      inject: [UnitsOfWork, getDataSourceToken(name), REQUEST],
      useFactory: (units: UnitsOfWork, dataSource: DataSource, request: unknown) =>
        units.of(request, dataSource),
    },
    {
      provide: getQueryRunnerToken(name),
      scope: Scope.REQUEST,
      inject: [getUnitOfWorkToken(name)],
      useFactory: (unit: RequestUnit) => unit.runner,
    },
  ];
}
