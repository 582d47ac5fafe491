import type { DataSource, QueryRunner } from 'typeorm';
import { ManagedDataSource } from '../data-source/managed-data-source.js';
import { DatabaseError } from '../errors/database.error.js';
import { isHttp } from './http/http-request.js';
import type { HttpRequest } from './http/http-request.js';
import { beginLifecycle } from './request-lifecycle.js';
import type { RequestLifecycle, RequestUnitOfWork } from './request-lifecycle.js';
import { UnitOfWork } from './unit-of-work.js';
import { UnmanagedUnitOfWork } from './unmanaged-unit-of-work.js';

/**
 * The unit of work of a request on a data source, always the same one. Only allocates: it listens to nothing.
 *
 * @throws DatabaseError `REQUEST_NOT_HTTP` for a message or a subscription: their end cannot be observed
 * @throws DatabaseError `DATA_SOURCE_FOREIGN` for a stub of a data source that creates no query runners
 */
export function unitOfWorkOf(dataSource: DataSource, request: unknown): RequestUnitOfWork {
  const lifecycle = beginLifecycle(requireHttp(request));
  return lifecycle.unitOf(dataSource) ?? addUnit(lifecycle, dataSource);
}

/** The query runner of a request on a data source. */
export function queryRunnerOf(dataSource: DataSource, request: unknown): QueryRunner {
  return unitOfWorkOf(dataSource, request).runner;
}

/** Whether a provider has one of these two factories. */
export function providesRunner({ metatype }: { readonly metatype: unknown }): boolean {
  return metatype === unitOfWorkOf || metatype === queryRunnerOf;
}

function addUnit(lifecycle: RequestLifecycle, dataSource: DataSource): RequestUnitOfWork {
  const unit = createUnit(lifecycle, dataSource);
  lifecycle.addUnit(unit);
  return unit;
}

function createUnit(lifecycle: RequestLifecycle, dataSource: DataSource): RequestUnitOfWork {
  if (dataSource instanceof ManagedDataSource) {
    if (dataSource.settings.cancelOnDisconnect) lifecycle.cancelOnDisconnect();
    return new UnitOfWork(dataSource, lifecycle);
  }
  if (typeof (dataSource as Partial<DataSource> | undefined)?.createQueryRunner === 'function') {
    // Its runners do not find out by themselves that the request has ended.
    lifecycle.observeResponse();
    return new UnmanagedUnitOfWork(dataSource);
  }
  throw new DatabaseError(
    '@InjectQueryRunner() needs a data source with createQueryRunner(), which the overriding data source does not have.',
    {
      code: 'DATA_SOURCE_FOREIGN',
      hint: 'Where a test overrides the data source, give it createQueryRunner(), or override the runner too: overrideProvider(getQueryRunnerToken()).',
    },
  );
}

function requireHttp(request: unknown): HttpRequest {
  if (isHttp(request)) return request;
  throw new DatabaseError('@InjectQueryRunner() needs an HTTP request, and this is not one.', {
    code: 'REQUEST_NOT_HTTP',
    hint: 'Use dataSource.transaction(), or create a query runner by dataSource.createQueryRunner() and release it in a finally block.',
  });
}
