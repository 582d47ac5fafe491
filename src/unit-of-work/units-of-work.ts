import type { IncomingMessage, Server } from 'node:http';
import type { Socket } from 'node:net';
import { Injectable } from '@nestjs/common';
import type {
  CallHandler,
  ExecutionContext,
  NestInterceptor,
  OnApplicationShutdown,
  OnModuleDestroy,
  OnModuleInit,
} from '@nestjs/common';
import { HttpAdapterHost } from '@nestjs/core';
import type { AbstractHttpAdapter } from '@nestjs/core';
import { Observable } from 'rxjs';
import type { DataSource } from 'typeorm';
import { ManagedDataSource } from '../data-source/managed-data-source.js';
import { runInUnit, trackTransactions } from '../data-source/unit-of-work.context.js';
import { DatabaseError } from '../errors/database.error.js';
import { ForeignUnitOfWork } from './foreign-unit-of-work.js';
import type { RequestUnit } from './foreign-unit-of-work.js';
import { isHttp, messageOf, nameOf, responseOf } from './http/http-request.js';
import type { HttpRequest } from './http/http-request.js';
import { HttpResponses } from './http/http-responses.js';
import type { Answer } from './http/http-responses.js';
import { RequestState } from './request-state.js';
import { UnitOfWork } from './unit-of-work.js';

/** Finds the unit of work of a request, and tells it when the handler starts and settles and when the response closes. */
@Injectable()
export class UnitsOfWork implements NestInterceptor, OnModuleInit, OnModuleDestroy, OnApplicationShutdown {
  readonly #adapterHost: HttpAdapterHost;
  readonly #responses = new HttpResponses();
  // Weak: a request that nobody holds any more takes its state along.
  readonly #states = new WeakMap<IncomingMessage, RequestState>();
  /** Requests that are open on a socket: one listener for all, however many a client sends ahead. */
  readonly #bySocket = new WeakMap<Socket, Set<() => void>>();

  constructor(adapterHost: HttpAdapterHost) {
    this.#adapterHost = adapterHost;
  }

  onModuleInit(): void {
    // Not before: an app that fails to start has no hook in which it could be taken back.
    this.#responses.start();
    const { httpAdapter } = this.#adapterHost as { httpAdapter: AbstractHttpAdapter | undefined };
    if (httpAdapter) trackTransactions();
    this.#responses.hearOfInjected(httpAdapter, (request, response) => {
      // Of a middleware that has run before.
      const state = this.#states.get(request);
      if (state) this.#watch(state, request, response);
    });
  }

  onModuleDestroy(): void {
    this.#responses.closeWhenIdle(this.#adapterHost.httpAdapter?.getHttpServer() as Server | undefined);
  }

  onApplicationShutdown(): void {
    this.#responses.stop();
  }

  /**
   * The unit of work of this request on this data source: always the same one.
   * @throws DatabaseError `REQUEST_NOT_HTTP` when the request is none of HTTP, whose end could be awaited
   */
  of(request: unknown, dataSource: DataSource): RequestUnit {
    const http = httpRequest(request);
    const message = messageOf(http);
    const state = this.#stateOf(message);
    let unit = state.units.get(dataSource);
    if (!unit) {
      unit = unitOn(dataSource, nameOf(http), state);
      if (state.over) unit.end();
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
    const message = messageOf(request);
    const state = this.#stateOf(message);
    // In case the platform is another one than the two whose requests lead to their responses.
    this.#watch(state, message, response);
    return inRun(state, request, next);
  }

  #stateOf(message: IncomingMessage): RequestState {
    let state = this.#states.get(message);
    if (!state) {
      state = new RequestState();
      this.#states.set(message, state);
      this.#watch(state, message, this.#responses.of(message));
    }
    return state;
  }

  /** Sees that the state hears of the end of its response. */
  #watch(state: RequestState, message: IncomingMessage, answer: Answer | undefined): void {
    if (!answer || state.watched) return;
    state.watched = true;
    if (answer.closed || answer.destroyed) return queueMicrotask(() => state.end(isComplete(answer)));
    const open = this.#openOn(message.socket);
    const end = () => {
      answer.off('close', end);
      answer.off('finish', end);
      open?.delete(end);
      state.end(isComplete(answer));
    };
    answer.once('close', end);
    // A response without a server, as serverless adapters make it, does not close.
    answer.once('finish', end);
    // A response that is queued behind another one, for requests sent ahead, does not close with its socket.
    open?.add(end);
  }

  #openOn(socket: Socket | undefined): Set<() => void> | undefined {
    if (typeof socket?.once !== 'function') return undefined;
    let open = this.#bySocket.get(socket);
    if (!open) {
      const ends = new Set<() => void>();
      this.#bySocket.set(socket, ends);
      socket.once('close', () => {
        for (const end of ends) end();
      });
      open = ends;
    }
    return open;
  }
}

/** Whether the app has answered; else the client has left before. A stream of HTTP/2 that is cut off gets ended too. */
function isComplete(answer: Answer): boolean {
  return answer.writableEnded && !('aborted' in answer && answer.aborted);
}

/**
 * One run of the handler for each subscription. What it asks the pool for belongs to its request: Nest binds the handler to the
 * flow in which `handle()` is called, so that it is called in ours too. The run settles before its outcome is told: an
 * interceptor outside of this one may answer an error by a retry, which begins at once.
 */
function inRun(state: RequestState, request: HttpRequest, next: CallHandler): Observable<unknown> {
  return new Observable((subscriber) => {
    const run = state.begin(() => nameOf(request));
    const handling = runInUnit(run, () =>
      next.handle().subscribe({
        next: (value) => subscriber.next(value),
        error: (error) => {
          state.settle(run);
          subscriber.error(error);
        },
        complete: () => {
          state.settle(run);
          subscriber.complete();
        },
      }),
    );
    return () => {
      handling.unsubscribe();
      state.settle(run);
    };
  });
}

/** @throws DatabaseError `DATA_SOURCE_FOREIGN` for a stand-in that makes no query runners */
function unitOn(dataSource: DataSource, name: string, state: RequestState): RequestUnit {
  if (dataSource instanceof ManagedDataSource)
    return new UnitOfWork(dataSource, name, state.isCurrent, state.mayHold);
  if (typeof (dataSource as Partial<DataSource> | undefined)?.createQueryRunner === 'function')
    return new ForeignUnitOfWork(dataSource);
  throw new DatabaseError(
    '@InjectQueryRunner() needs a data source that makes query runners, and the one in its place has no createQueryRunner().',
    {
      code: 'DATA_SOURCE_FOREIGN',
      hint: 'Where a test overrides the data source, give it createQueryRunner(), or override the runner too: overrideProvider(getQueryRunnerToken()).',
    },
  );
}

function httpRequest(request: unknown): HttpRequest {
  if (isHttp(request)) return request;
  throw new DatabaseError('@InjectQueryRunner() needs an HTTP request, and this is none.', {
    code: 'REQUEST_NOT_HTTP',
    hint: 'Elsewhere take a runner of your own: dataSource.createQueryRunner(), released in a finally block, or dataSource.transaction().',
  });
}
