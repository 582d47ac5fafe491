import type { IncomingMessage, ServerResponse } from 'node:http';
import type { Http2ServerRequest, ServerHttp2Stream } from 'node:http2';
import type { Socket } from 'node:net';

/** What ends a request: its response, or the stream that carries both in HTTP/2. */
export type ResponseStream = ServerResponse | ServerHttp2Stream;

/** The property of Node's request that holds its response, on platforms whose request has no reference to it. */
const RESPONSE = Symbol('nestjs-database.response');

/** Remembers the response of a request. */
export function rememberResponse(request: IncomingMessage, response: ServerResponse): void {
  (request as { [RESPONSE]?: ServerResponse })[RESPONSE] = response;
}

/** The response of a request; undefined if it is not known, or not yet. */
export function findResponse(request: IncomingMessage | Http2ServerRequest): ResponseStream | undefined {
  // Node publishes no responses of HTTP/2, but the request has the stream.
  if (request.httpVersionMajor === 2) return (request as Http2ServerRequest).stream;
  // Express sets `res`, even on a request that does not come from a server.
  const known = request as { res?: ServerResponse; [RESPONSE]?: ServerResponse };
  return known.res ?? known[RESPONSE];
}

/** Whether the response was sent, was closed, or has lost its socket. */
export function hasEnded(response: ResponseStream, request: IncomingMessage): boolean {
  if (response.writableFinished || response.closed || response.destroyed) return true;
  // A response that is queued behind another one, for pipelined requests, does not close with its socket.
  return (request.socket as Socket | undefined)?.destroyed === true;
}

/** Whether the app has answered; otherwise the client has disconnected before. An aborted stream of HTTP/2 counts as ended, too. */
export function isAnswered(response: ResponseStream): boolean {
  return response.writableEnded && !('aborted' in response && response.aborted);
}

/** Calls `listener` once, when the response ends. */
export function onEnd(response: ResponseStream, request: IncomingMessage, listener: () => void): void {
  const ends = endsOn(request.socket);
  const end = () => {
    response.off('close', end);
    response.off('finish', end);
    response.off('prefinish', endSoon);
    ends?.delete(end);
    listener();
  };
  // The last byte was handed to the socket: 'finish' comes when a slow client has read almost everything. Not immediately, since code
  // that sends the response may end its transaction in the same turn of the event loop.
  const endSoon = () => setImmediate(end);
  response.once('prefinish', endSoon);
  response.once('close', end);
  // A response without a server, as serverless adapters create it, emits no 'close'.
  response.once('finish', end);
  // A response that is queued behind another one, for pipelined requests, does not close with its socket.
  ends?.add(end);
}

/** What to call when a socket closes: one function for each observed request, but one listener for all requests that a client pipelines. */
const endsBySocket = new WeakMap<Socket, Set<() => void>>();

function endsOn(socket: Socket | undefined): Set<() => void> | undefined {
  if (typeof socket?.once !== 'function') return undefined;
  const known = endsBySocket.get(socket);
  if (known) return known;
  const ends = new Set<() => void>();
  endsBySocket.set(socket, ends);
  socket.once('close', () => {
    for (const end of ends) end();
  });
  return ends;
}
