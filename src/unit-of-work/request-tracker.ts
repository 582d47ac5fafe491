import type { Server } from 'node:http';
import { Injectable } from '@nestjs/common';
import type { OnApplicationShutdown, OnModuleDestroy, OnModuleInit } from '@nestjs/common';
import { ApplicationConfig, HttpAdapterHost, ModulesContainer } from '@nestjs/core';
import type { AbstractHttpAdapter } from '@nestjs/core';
import { trackTransactionScopes } from '../data-source/execution-scope.js';
import { trackHandlers } from './handler-tracking.js';
import { ServerObserver } from './http/server-observer.js';
import { lifecycleOf } from './request-lifecycle.js';

/** Prepares the app for the runners of requests: tracks its handlers, and finds the responses of its requests. */
@Injectable()
export class RequestTracker implements OnModuleInit, OnModuleDestroy, OnApplicationShutdown {
  readonly #adapterHost: { readonly httpAdapter?: AbstractHttpAdapter };
  readonly #modules: ModulesContainer;
  readonly #config: ApplicationConfig;
  readonly #server = new ServerObserver();

  constructor(adapterHost: HttpAdapterHost, modules: ModulesContainer, config: ApplicationConfig) {
    this.#adapterHost = adapterHost;
    this.#modules = modules;
    this.#config = config;
  }

  /** Nest has registered the routes, and serves no request yet. */
  onModuleInit(): void {
    const { httpAdapter } = this.#adapterHost;
    if (!httpAdapter) return;
    trackTransactionScopes();
    trackHandlers(this.#modules, this.#config);
    // Not in the constructor: an app that fails to start calls no hook that could unsubscribe.
    this.#server.start(httpAdapter, (request) => lifecycleOf(request)?.onResponseKnown());
  }

  onModuleDestroy(): void {
    this.#server.closeWhenIdle(this.#adapterHost.httpAdapter?.getHttpServer() as Server | undefined);
  }

  onApplicationShutdown(): void {
    this.#server.stop();
  }
}
