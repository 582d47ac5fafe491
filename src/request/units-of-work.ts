import type { IncomingMessage, Server, ServerResponse } from 'node:http';
import {
  type CallHandler,
  type ExecutionContext,
  Injectable,
  type NestInterceptor,
  type OnApplicationShutdown,
  type OnModuleDestroy,
  type OnModuleInit,
} from '@nestjs/common';
import { type AbstractHttpAdapter, HttpAdapterHost } from '@nestjs/core';
import { finalize, Observable } from 'rxjs';
import type { DataSource } from 'typeorm';
import { managed } from '../data-source/managed-data-source.js';
import { FlowUnit, runInUnit, trackTransactions } from '../data-source/unit-of-work.context.js';
import { DatabaseError } from '../database.errors.js';
import { type Answer, HttpResponses } from './http-responses.js';
import { UnitOfWork } from './unit-of-work.js';

/** A request as Nest hands it out: Express' is Node's own, Fastify's has it as `raw`. */
interface HttpRequest {
  readonly raw?: IncomingMessage;
  readonly method?: string;
  readonly baseUrl?: string;
  /** Express' route. */
  readonly route?: { path?: unknown };
  /** Fastify's. */
  readonly routeOptions?: { url?: string };
}

/** One request's units of work, by data source. */
interface RequestState {
  readonly units: Map<DataSource, UnitOfWork>;
  readonly flow: FlowUnit;
  answer: Answer | undefined;
  closed: boolean;
  handlerRuns: boolean;
}

/** Finds the unit of work of a request, and tells it when the handler starts and settles and when the response closes. */
@Injectable()
export class UnitsOfWork implements NestInterceptor, OnModuleInit, OnModuleDestroy, OnApplicationShutdown {
  private readonly responses = new HttpResponses();
  // Weak: a request that nobody holds any more takes its state along.
  private readonly states = new WeakMap<IncomingMessage, RequestState>();

  constructor(private readonly adapterHost: HttpAdapterHost) {
    this.responses.start();
  }

  onModuleInit(): void {
    const { httpAdapter } = this.adapterHost as { httpAdapter: AbstractHttpAdapter | undefined };
    if (httpAdapter) trackTransactions();
    this.responses.hearOfInjected(httpAdapter, (request, response) => {
      // Of a middleware that has run before.
      const state = this.states.get(request);
      if (state) this.watch(state, response);
    });
  }

  onModuleDestroy(): void {
    this.responses.closeWhenIdle(this.adapterHost.httpAdapter?.getHttpServer() as Server | undefined);
  }

  onApplicationShutdown(): void {
    this.responses.stop();
  }

  /**
   * The unit of work of this request on this data source: always the same one.
   * @throws DatabaseError `REQUEST_NOT_HTTP` when the request is none of HTTP, whose end could be awaited
   */
  of(request: unknown, dataSource: DataSource): UnitOfWork {
    const http = httpRequest(request);
    const state = this.stateOf(messageOf(http));
    let unit = state.units.get(dataSource);
    if (!unit) {
      unit = new UnitOfWork(managed(dataSource), nameOf(http), state.flow);
      if (state.handlerRuns) unit.handlerStarted();
      else if (state.closed) unit.responseClosed(true);
      state.units.set(dataSource, unit);
    }
    return unit;
  }

  intercept(context: ExecutionContext, next: CallHandler): Observable<unknown> {
    if (context.getType() !== 'http') return next.handle();
    const http = context.switchToHttp();
    const request: unknown = http.getRequest();
    const response = responseOf(http.getResponse());
    // Modules with a transport of their own call themselves 'http' too, with arguments of any kind.
    if (!isHttp(request) || !response) return next.handle();
    const state = this.stateOf(messageOf(request));
    // In case the platform is another one than the two whose requests lead to their responses.
    this.watch(state, response);
    state.handlerRuns = true;
    // A guard or a pipe may have outlived the response.
    state.flow.over = false;
    for (const unit of state.units.values()) unit.handlerStarted();
    return inUnit(state.flow, next).pipe(
      finalize(() => {
        state.handlerRuns = false;
        state.flow.over = state.closed;
        for (const unit of state.units.values()) unit.handlerSettled(state.closed);
      }),
    );
  }

  private stateOf(message: IncomingMessage): RequestState {
    let state = this.states.get(message);
    if (!state) {
      state = {
        units: new Map(),
        flow: new FlowUnit(),
        answer: undefined,
        closed: false,
        handlerRuns: false,
      };
      this.states.set(message, state);
      this.watch(state, this.responses.of(message));
    }
    return state;
  }

  private watch(state: RequestState, answer: Answer | undefined): void {
    if (!answer || state.answer) return;
    state.answer = answer;
    const closed = () => {
      state.closed = true;
      state.flow.over = !state.handlerRuns;
      for (const unit of state.units.values()) unit.responseClosed(isComplete(answer));
    };
    // 'close' comes after every response, finished or cut off by the client.
    if (answer.closed || answer.destroyed) queueMicrotask(closed);
    else answer.once('close', closed);
  }
}

/** Whether the app has answered; else the client has left before. A stream of HTTP/2 that is cut off gets ended too. */
function isComplete(answer: Answer): boolean {
  return answer.writableEnded && !('aborted' in answer && answer.aborted);
}

/**
 * What the handler asks the pool for belongs to its request. Nest binds the handler to the flow in which `handle()` is
 * called, so that it has to be called in ours too.
 */
function inUnit(unit: FlowUnit, next: CallHandler): Observable<unknown> {
  return new Observable((subscriber) => runInUnit(unit, () => next.handle().subscribe(subscriber)));
}

function httpRequest(request: unknown): HttpRequest {
  if (isHttp(request)) return request;
  throw new DatabaseError('@InjectQueryRunner() needs an HTTP request, and this is none.', {
    code: 'REQUEST_NOT_HTTP',
    hint: 'Elsewhere take a runner of your own: dataSource.createQueryRunner(), released in a finally block, or dataSource.transaction().',
  });
}

function isHttp(request: unknown): request is HttpRequest {
  const http = request as (HttpRequest & { headers?: unknown }) | undefined;
  return typeof http?.method === 'string' && typeof http.headers === 'object';
}

function messageOf(request: HttpRequest): IncomingMessage {
  return request.raw ?? (request as IncomingMessage);
}

/** Express' response is Node's own, Fastify's has it as `raw`; undefined for what is none. */
function responseOf(given: unknown): ServerResponse | undefined {
  const response =
    (given as { raw?: ServerResponse } | undefined)?.raw ?? (given as ServerResponse | undefined);
  return typeof response?.on === 'function' ? response : undefined;
}

/** `GET /users/:id`: the route and not the URL, which may hold secrets and would be a label of its own per request. */
function nameOf({ method, baseUrl = '', route, routeOptions }: HttpRequest): string {
  const path = typeof route?.path === 'string' ? baseUrl + route.path : routeOptions?.url;
  return `${method} ${path ?? 'request'}`;
}
