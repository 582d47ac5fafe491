import diagnostics from 'node:diagnostics_channel';
import type { IncomingMessage, Server, ServerResponse } from 'node:http';
import type { AbstractHttpAdapter } from '@nestjs/core';
import { findResponse, rememberResponse } from './response.js';

/** Channels on which Node publishes each request that a server receives and each response that it has sent, on every platform. */
const STARTED = 'http.server.request.start';
const FINISHED = 'http.server.response.finish';

interface HttpEvent {
  request: IncomingMessage;
  response: ServerResponse;
  server: Server;
}

/** The part of Fastify that is used here. */
interface FastifyInstance {
  addHook(
    name: 'onRequest',
    hook: (request: { raw: IncomingMessage }, reply: { raw: ServerResponse }, done: () => void) => void,
  ): unknown;
}

/** Observes the HTTP server of the app: which response belongs to which request, and the end of its connections at the shutdown. */
export class ServerObserver {
  #closing: Server | undefined;

  readonly #started = (message: unknown): void => {
    const { request, response } = message as HttpEvent;
    rememberResponse(request, response);
  };
  readonly #finished = (message: unknown): void => {
    const { server } = message as HttpEvent;
    // The server counts the connection as idle only in the next turn of the event loop.
    if (server === this.#closing) setImmediate(() => server.closeIdleConnections());
  };

  /**
   * Remembers the response of each request, unless the request of the platform has a reference to it, as in Express.
   *
   * @param onLateResponse called with a request whose response was not known before its middleware
   */
  start(adapter: AbstractHttpAdapter, onLateResponse: (request: IncomingMessage) => void): void {
    const platform = adapter.getType();
    if (platform === 'express') return;
    diagnostics.subscribe(STARTED, this.#started);
    if (platform === 'fastify') observeInjected(adapter.getInstance<FastifyInstance>(), onLateResponse);
  }

  /**
   * Closes the connections of a closing server as they become idle. The server itself closes only connections that are idle when it begins
   * to close; a connection that its client keeps alive after that would delay the shutdown by seconds.
   */
  closeWhenIdle(server: Server | undefined): void {
    if (!server || this.#closing || typeof server.closeIdleConnections !== 'function') return;
    this.#closing = server;
    diagnostics.subscribe(FINISHED, this.#finished);
  }

  stop(): void {
    diagnostics.unsubscribe(STARTED, this.#started);
    diagnostics.unsubscribe(FINISHED, this.#finished);
  }
}

/** Observes requests by Fastify's `inject()`, which uses no server, so that Node publishes nothing. The hook runs after middleware. */
function observeInjected(fastify: FastifyInstance, onLateResponse: (request: IncomingMessage) => void): void {
  fastify.addHook('onRequest', ({ raw: request }, { raw: response }, done) => {
    if (!findResponse(request)) {
      rememberResponse(request, response);
      onLateResponse(request);
    }
    done();
  });
}
