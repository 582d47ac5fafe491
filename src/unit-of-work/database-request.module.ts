import { Module, Scope } from '@nestjs/common';
import type { Provider } from '@nestjs/common';
import { APP_INTERCEPTOR, REQUEST } from '@nestjs/core';
import type { DataSource } from 'typeorm';
import { getDataSourceToken, getQueryRunnerToken, getUnitOfWorkToken } from '../database.tokens.js';
import { HandlerScopeInterceptor } from './handler-scope.interceptor.js';
import { HttpErrorsFilter } from './http/http-errors.filter.js';
import { RequestTracker } from './request-tracker.js';

/** The providers for requests that all data sources share. A static module, so that Nest creates it once for several roots. */
@Module({
  providers: [
    HttpErrorsFilter,
    RequestTracker,
    { provide: APP_INTERCEPTOR, useClass: HandlerScopeInterceptor },
  ],
  exports: [HttpErrorsFilter, RequestTracker],
})
export class DatabaseRequestModule {}

/** The request's unit of work on one data source, and its query runner. */
export function requestProviders(name: string): Provider[] {
  const inject = [RequestTracker, getDataSourceToken(name), REQUEST];
  return [
    {
      provide: getUnitOfWorkToken(name),
      scope: Scope.REQUEST,
      inject,
      useFactory: (tracker: RequestTracker, dataSource: DataSource, request: unknown) =>
        tracker.unitOfWork(request, dataSource),
    },
    {
      // Not from the unit of work's provider: resolving one more request-scoped provider takes Nest longer than this factory.
      provide: getQueryRunnerToken(name),
      scope: Scope.REQUEST,
      inject,
      useFactory: (tracker: RequestTracker, dataSource: DataSource, request: unknown) =>
        tracker.unitOfWork(request, dataSource).runner,
    },
  ];
}
