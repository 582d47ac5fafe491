import type { IncomingMessage, ServerResponse } from 'node:http';
import { type CallHandler, type ExecutionContext, Injectable, type NestInterceptor } from '@nestjs/common';
import type { DataSource } from 'typeorm';
import { finalize, Observable } from 'rxjs';
import { managed } from '../data-source/managed-data-source.js';
import type { ManagedQueryRunner } from '../data-source/managed-query-runner.js';
import { runInUnit } from '../data-source/unit-of-work.context.js';
import { DatabaseError } from '../database.errors.js';
import { UnitOfWork } from './unit-of-work.js';

/** A request as Express has it: it knows its response and, once routed, its route. */
interface HttpRequest extends IncomingMessage {
  res?: ServerResponse;
  route?: { path?: unknown };
  baseUrl?: string;
}

/** One request's units of work, by data source. */
interface RequestState {
  readonly units: Map<DataSource, UnitOfWork>;
  handlerRuns: boolean;
}

/** Finds the unit of work of a request, and tells it when the handler starts and settles. */
@Injectable()
export class UnitsOfWork implements NestInterceptor {
  // Weak: a request that nobody holds any more takes its state along.
  private readonly states = new WeakMap<HttpRequest, RequestState>();

  /**
   * The query runner of this request on this data source: always the same one.
   * @throws DatabaseError `REQUEST_NOT_HTTP` when there is no HTTP response whose end could be awaited
   */
  runnerOf(request: unknown, dataSource: DataSource): ManagedQueryRunner {
    const http = httpRequest(request);
    const state = this.stateOf(http);
    let unit = state.units.get(dataSource);
    if (!unit) {
      unit = new UnitOfWork(managed(dataSource), http.res as ServerResponse, {
        name: nameOf(http),
        unit: state,
      });
      if (state.handlerRuns) unit.handlerStarted();
      state.units.set(dataSource, unit);
    }
    return unit.runner;
  }

  intercept(context: ExecutionContext, next: CallHandler): Observable<unknown> {
    if (context.getType() !== 'http') return next.handle();
    const state = this.stateOf(context.switchToHttp().getRequest<HttpRequest>());
    state.handlerRuns = true;
    for (const unit of state.units.values()) unit.handlerStarted();
    return inUnit(state, next).pipe(
      finalize(() => {
        state.handlerRuns = false;
        for (const unit of state.units.values()) unit.handlerSettled();
      }),
    );
  }

  private stateOf(request: HttpRequest): RequestState {
    let state = this.states.get(request);
    if (!state) this.states.set(request, (state = { units: new Map(), handlerRuns: false }));
    return state;
  }
}

function httpRequest(request: unknown): HttpRequest {
  const http = request as HttpRequest | undefined;
  if (http?.res) return http;
  throw new DatabaseError('@InjectQueryRunner() needs an HTTP request on Express, and this is none.', {
    code: 'REQUEST_NOT_HTTP',
    hint: 'Elsewhere take a runner of your own: dataSource.createQueryRunner(), released in a finally block, or dataSource.transaction().',
  });
}

/** `GET /users/:id`: the route and not the URL, which may hold secrets and would be a label of its own per request. */
function nameOf({ method, route, baseUrl = '' }: HttpRequest): string {
  return typeof route?.path === 'string' ? `${method} ${baseUrl}${route.path}` : `${method} request`;
}

/**
 * What the handler asks the pool for belongs to its request. Nest binds the handler to the flow in which `handle()` is
 * called, so that it has to be called in ours too.
 */
function inUnit(unit: object, next: CallHandler): Observable<unknown> {
  return new Observable((subscriber) => runInUnit(unit, () => next.handle().subscribe(subscriber)));
}
