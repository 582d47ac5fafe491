import { Module, Scope } from '@nestjs/common';
import type { Provider } from '@nestjs/common';
import { REQUEST } from '@nestjs/core';
import { getDataSourceToken, getQueryRunnerToken, getUnitOfWorkToken } from '../database.tokens.js';
import { HttpErrorsFilter } from './http/http-errors.filter.js';
import { RequestTracker } from './request-tracker.js';
import { queryRunnerOf, unitOfWorkOf } from './request-unit-of-work.js';

/** The providers for requests that all data sources share. A static module, so that Nest creates it once for several roots. */
@Module({
  providers: [HttpErrorsFilter, RequestTracker],
  exports: [HttpErrorsFilter],
})
export class DatabaseRequestModule {}

/**
 * The request's unit of work on one data source, and its query runner. A request resolves only the one that it injects: neither is
 * resolved from the other, since each request-scoped provider takes Nest longer than its factory.
 */
export function requestProviders(name: string): Provider[] {
  const inject = [getDataSourceToken(name), REQUEST];
  return [
    {
      provide: getUnitOfWorkToken(name),
      scope: Scope.REQUEST,
      inject,
      useFactory: unitOfWorkOf,
    },
    {
      provide: getQueryRunnerToken(name),
      scope: Scope.REQUEST,
      inject,
      useFactory: queryRunnerOf,
    },
  ];
}
