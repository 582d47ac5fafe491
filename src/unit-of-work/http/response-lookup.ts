import diagnostics from 'node:diagnostics_channel';
import type { IncomingMessage, Server, ServerResponse } from 'node:http';
import type { Http2ServerRequest, ServerHttp2Stream } from 'node:http2';
import type { AbstractHttpAdapter } from '@nestjs/core';

/** Node publishes each request that a server receives, and each response that is sent, on Express and Fastify alike. */
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
  // Weak: an entry goes with its request.
  readonly #responses = new WeakMap<object, ServerResponse>();
  #closing: Server | undefined;

  readonly #started = (message: unknown): void => {
    const { request, response } = message as HttpEvent;
    this.#responses.set(request, response);
  };
  readonly #finished = (message: unknown): void => {
    const { server } = message as HttpEvent;
    // In the next turn the response has released its connection.
    if (server === this.#closing) setImmediate(() => server.closeIdleConnections());
  };

  start(): void {
    diagnostics.subscribe(STARTED, this.#started);
  }

  /** Fastify's `inject()` uses no server, and Node publishes nothing. Fastify itself calls a hook, after middleware. */
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
   * Closes the connections of a closing server as they become idle. The server itself closes those that are idle at that moment; one
   * that its client keeps alive after that would delay the end for seconds.
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
    // Node publishes no responses of HTTP/2; the stream is known from the start.
    if (request.httpVersionMajor === 2) return (request as Http2ServerRequest).stream;
    // Express sets it, also on a request that does not come from a server.
    return this.#responses.get(request) ?? (request as { res?: ServerResponse }).res;
  }
}
