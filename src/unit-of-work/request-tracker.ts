import type { IncomingMessage, Server, ServerResponse } from 'node:http';
import type { Socket } from 'node:net';
import { Injectable } from '@nestjs/common';
import type { OnApplicationShutdown, OnModuleDestroy, OnModuleInit } from '@nestjs/common';
import { HttpAdapterHost } from '@nestjs/core';
import type { AbstractHttpAdapter } from '@nestjs/core';
import type { DataSource } from 'typeorm';
import { trackTransactionScopes } from '../data-source/execution-scope.js';
import { ManagedDataSource } from '../data-source/managed-data-source.js';
import { DatabaseError } from '../errors/database.error.js';
import { isHttp, messageOf, nameOf } from './http/http-request.js';
import type { HttpRequest } from './http/http-request.js';
import { ResponseLookup } from './http/response-lookup.js';
import type { ResponseStream } from './http/response-lookup.js';
import { RequestLifecycle } from './request-lifecycle.js';
import type { RequestUnitOfWork } from './request-lifecycle.js';
import { UnitOfWork } from './unit-of-work.js';
import { UnmanagedUnitOfWork } from './unmanaged-unit-of-work.js';

/** Keeps the lifecycle of each request, and reports the end of the response to it. */
@Injectable()
export class RequestTracker implements OnModuleInit, OnModuleDestroy, OnApplicationShutdown {
  readonly #adapterHost: HttpAdapterHost;
  readonly #responses = new ResponseLookup();
  // Weak: an entry must not keep its request in memory.
  readonly #lifecycles = new WeakMap<IncomingMessage, RequestLifecycle>();
  /** What to call when a socket closes: one function for each open request, but one listener for all requests that a client pipelines. */
  readonly #endsBySocket = new WeakMap<Socket, Set<() => void>>();

  constructor(adapterHost: HttpAdapterHost) {
    this.#adapterHost = adapterHost;
  }

  onModuleInit(): void {
    // Not in the constructor: an app that fails to start calls no hook that could unsubscribe.
    this.#responses.start();
    const { httpAdapter } = this.#adapterHost as { httpAdapter: AbstractHttpAdapter | undefined };
    if (httpAdapter) trackTransactionScopes();
    this.#responses.observeInjected(httpAdapter, (request, response) => {
      // A middleware may have created the lifecycle before the response was known.
      const lifecycle = this.#lifecycles.get(request);
      if (lifecycle) this.#observeResponse(lifecycle, request, response);
    });
  }

  onModuleDestroy(): void {
    this.#responses.closeWhenIdle(this.#adapterHost.httpAdapter?.getHttpServer() as Server | undefined);
  }

  onApplicationShutdown(): void {
    this.#responses.stop();
  }

  /**
   * The unit of work of this request on this data source, always the same one.
   *
   * @throws DatabaseError `REQUEST_NOT_HTTP` for a message or a subscription: their end cannot be observed
   * @throws DatabaseError `DATA_SOURCE_FOREIGN` for a stub of a data source that creates no query runners
   */
  unitOfWork(request: unknown, dataSource: DataSource): RequestUnitOfWork {
    const http = requireHttp(request);
    const message = messageOf(http);
    const lifecycle = this.#lifecycleOf(message);
    let unit = lifecycle.units.get(dataSource);
    if (!unit) {
      unit = createUnit(dataSource, nameOf(http), lifecycle);
      if (lifecycle.isOver) unit.end();
      lifecycle.units.set(dataSource, unit);
    }
    return unit;
  }

  /** @param response the response that Nest knows, for platforms other than Express and Fastify */
  lifecycle(request: HttpRequest, response: ServerResponse): RequestLifecycle {
    const message = messageOf(request);
    const lifecycle = this.#lifecycleOf(message);
    this.#observeResponse(lifecycle, message, response);
    return lifecycle;
  }

  #lifecycleOf(message: IncomingMessage): RequestLifecycle {
    let lifecycle = this.#lifecycles.get(message);
    if (!lifecycle) {
      lifecycle = new RequestLifecycle();
      this.#lifecycles.set(message, lifecycle);
      this.#observeResponse(lifecycle, message, this.#responses.find(message));
    }
    return lifecycle;
  }

  /** Reports the end of the response to the lifecycle, once. The response may close, finish, or lose its socket. */
  #observeResponse(
    lifecycle: RequestLifecycle,
    message: IncomingMessage,
    response: ResponseStream | undefined,
  ): void {
    if (!response || lifecycle.isResponseObserved) return;
    lifecycle.isResponseObserved = true;
    if (response.closed || response.destroyed)
      return queueMicrotask(() => lifecycle.endResponse(isComplete(response)));
    const ends = this.#endsOn(message.socket);
    const end = () => {
      response.off('close', end);
      response.off('finish', end);
      ends?.delete(end);
      lifecycle.endResponse(isComplete(response));
    };
    response.once('close', end);
    // A response without a server, as serverless adapters create it, emits no 'close'.
    response.once('finish', end);
    // A response that is queued behind another one, for pipelined requests, does not close with its socket.
    ends?.add(end);
  }

  #endsOn(socket: Socket | undefined): Set<() => void> | undefined {
    if (typeof socket?.once !== 'function') return undefined;
    const known = this.#endsBySocket.get(socket);
    if (known) return known;
    const ends = new Set<() => void>();
    this.#endsBySocket.set(socket, ends);
    socket.once('close', () => {
      for (const end of ends) end();
    });
    return ends;
  }
}

/** Whether the app has answered; otherwise the client has disconnected before. An aborted stream of HTTP/2 counts as ended, too. */
function isComplete(response: ResponseStream): boolean {
  return response.writableEnded && !('aborted' in response && response.aborted);
}

function createUnit(dataSource: DataSource, name: string, lifecycle: RequestLifecycle): RequestUnitOfWork {
  if (dataSource instanceof ManagedDataSource)
    return new UnitOfWork(dataSource, name, lifecycle.isHandlerRunning, lifecycle.isPinningAllowed);
  if (typeof (dataSource as Partial<DataSource> | undefined)?.createQueryRunner === 'function')
    return new UnmanagedUnitOfWork(dataSource);
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
