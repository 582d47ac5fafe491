import diagnostics from 'node:diagnostics_channel';
import type { IncomingMessage, Server, ServerResponse } from 'node:http';
import type { Http2ServerRequest, ServerHttp2Stream } from 'node:http2';
import type { AbstractHttpAdapter } from '@nestjs/core';

/** Channels on which Node publishes each request that a server receives and each response that it has sent, on every platform. */
const STARTED = 'http.server.request.start';
const FINISHED = 'http.server.response.finish';

interface HttpEvent {
  request: IncomingMessage;
  response: ServerResponse;
  server: Server;
}

/** What ends a request: its response, or the stream that carries both in HTTP/2. */
export type ResponseStream = ServerResponse | ServerHttp2Stream;

/** The part of Fastify that is used here. */
interface FastifyInstance {
  addHook(
    name: 'onRequest',
    hook: (request: { raw: IncomingMessage }, reply: { raw: ServerResponse }, done: () => void) => void,
  ): unknown;
}

/** Finds the response of a request: Fastify's request has no reference to it. */
export class ResponseLookup {
  // Weak: an entry must not keep its request in memory.
  readonly #responses = new WeakMap<object, ServerResponse>();
  #closing: Server | undefined;

  readonly #started = (message: unknown): void => {
    const { request, response } = message as HttpEvent;
    this.#responses.set(request, response);
  };
  readonly #finished = (message: unknown): void => {
    const { server } = message as HttpEvent;
    // The server counts the connection as idle only in the next turn of the event loop.
    if (server === this.#closing) setImmediate(() => server.closeIdleConnections());
  };

  start(): void {
    diagnostics.subscribe(STARTED, this.#started);
  }

  /** Observes requests by Fastify's `inject()`, which uses no server, so that Node publishes nothing. The hook runs after middleware. */
  observeInjected(
    adapter: AbstractHttpAdapter | undefined,
    onRequest: (request: IncomingMessage, response: ServerResponse) => void,
  ): void {
    if (adapter?.getType() !== 'fastify') return;
    adapter
      .getInstance<FastifyInstance>()
      .addHook('onRequest', ({ raw: request }, { raw: response }, done) => {
        if (!this.find(request)) {
          this.#responses.set(request, response);
          onRequest(request, response);
        }
        done();
      });
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

  find(request: IncomingMessage | Http2ServerRequest): ResponseStream | undefined {
    // Node publishes no responses of HTTP/2, but the request has the stream.
    if (request.httpVersionMajor === 2) return (request as Http2ServerRequest).stream;
    // Express sets `res`, even on a request that does not come from a server.
    return this.#responses.get(request) ?? (request as { res?: ServerResponse }).res;
  }
}
