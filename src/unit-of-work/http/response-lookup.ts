import diagnostics from 'node:diagnostics_channel';
import type { IncomingMessage, Server, ServerResponse } from 'node:http';
import type { Http2ServerRequest, ServerHttp2Stream } from 'node:http2';
import type { AbstractHttpAdapter } from '@nestjs/core';

/** Node tells of each request that a server receives, and of each response that is sent, on Express and Fastify alike. */
const STARTED = 'http.server.request.start';
const FINISHED = 'http.server.response.finish';

interface HttpEvent {
  request: IncomingMessage;
  response: ServerResponse;
  server: Server;
}

/** What ends a request: its response, or the stream that carries both in HTTP/2. */
export type ResponseStream = ServerResponse | ServerHttp2Stream;

/** What is used here of Fastify. */
interface FastifyInstance {
  addHook(
    name: 'onRequest',
    hook: (request: { raw: IncomingMessage }, reply: { raw: ServerResponse }, done: () => void) => void,
  ): unknown;
}

/** Which response answers a request: Fastify's request does not know its own. */
export class ResponseLookup {
  // Weak: a request that nobody holds any more takes its entry along.
  readonly #responses = new WeakMap<object, ServerResponse>();
  #closing: Server | undefined;

  readonly #started = (message: unknown): void => {
    const { request, response } = message as HttpEvent;
    this.#responses.set(request, response);
  };
  readonly #finished = (message: unknown): void => {
    const { server } = message as HttpEvent;
    // Once the response has let go of its connection.
    if (server === this.#closing) setImmediate(() => server.closeIdleConnections());
  };

  start(): void {
    diagnostics.subscribe(STARTED, this.#started);
  }

  /** Fastify's `inject()` runs without a server, which would tell the response: Fastify itself does, once middleware has run. */
  observeInjected(
    adapter: AbstractHttpAdapter | undefined,
    told: (request: IncomingMessage, response: ServerResponse) => void,
  ): void {
    if (adapter?.getType() !== 'fastify') return;
    adapter
      .getInstance<FastifyInstance>()
      .addHook('onRequest', ({ raw: request }, { raw: response }, done) => {
        if (!this.find(request)) {
          this.#responses.set(request, response);
          told(request, response);
        }
        done();
      });
  }

  /**
   * A server that closes ends the connections that are idle at that moment; one that becomes idle later, kept alive by
   * its client, would hold it for seconds.
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
    // Nothing is told of the responses of HTTP/2; the stream is there from the start.
    if (request.httpVersionMajor === 2) return (request as Http2ServerRequest).stream;
    // Express notes the response itself, so that a request handed to it by something else than a server has one too.
    return this.#responses.get(request) ?? (request as { res?: ServerResponse }).res;
  }
}
