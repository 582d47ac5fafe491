import diagnostics from 'node:diagnostics_channel';
import type { IncomingMessage, ServerResponse } from 'node:http';

/** Node tells of each request that a server receives, with its response: on Express and on Fastify alike. */
const CHANNEL = 'http.server.request.start';

interface RequestStart {
  request: IncomingMessage;
  response: ServerResponse;
}

/** Which response answers a request: Fastify's request does not know its own. */
export class HttpResponses {
  // Weak: a request that nobody holds any more takes its entry along.
  private readonly responses = new WeakMap<object, ServerResponse>();
  private readonly note = (message: unknown): void => {
    const { request, response } = message as RequestStart;
    this.responses.set(request, response);
  };

  start(): void {
    diagnostics.subscribe(CHANNEL, this.note);
  }

  stop(): void {
    diagnostics.unsubscribe(CHANNEL, this.note);
  }

  of(request: IncomingMessage): ServerResponse | undefined {
    // Express notes the response itself, so that a request handed to it by something else than a server has one too.
    return this.responses.get(request) ?? (request as { res?: ServerResponse }).res;
  }
}
