import type { IncomingMessage, ServerResponse } from 'node:http';

/** The request of Nest's HTTP platform: Express uses Node's request itself, Fastify keeps it in `raw`. */
export interface HttpRequest {
  readonly raw?: IncomingMessage;
  readonly method?: string;
  readonly baseUrl?: string;
  /** The route of Express. */
  readonly route?: { path?: unknown };
  /** The route of Fastify. */
  readonly routeOptions?: { url?: string };
}

/** Whether this is an HTTP request. Modules with a transport of their own use the context type 'http' too, with any arguments. */
export function isHttp(request: unknown): request is HttpRequest {
  const http = request as (HttpRequest & { headers?: unknown }) | undefined;
  return typeof http?.method === 'string' && typeof http.headers === 'object';
}

/** The request of Node. */
export function messageOf(request: HttpRequest): IncomingMessage {
  return request.raw ?? (request as IncomingMessage);
}

/** The response of Node: Express uses it itself, Fastify keeps it in `raw`. Undefined for anything else. */
export function responseOf(given: unknown): ServerResponse | undefined {
  const response =
    (given as { raw?: ServerResponse } | undefined)?.raw ?? (given as ServerResponse | undefined);
  return typeof response?.on === 'function' ? response : undefined;
}

/** The name of a request: method and route, `GET /users/:id`. The URL may contain secrets and has too many different values. */
export function nameOf({ method, baseUrl = '', route, routeOptions }: HttpRequest): string {
  const path = typeof route?.path === 'string' ? baseUrl + route.path : routeOptions?.url;
  return `${method} ${path ?? 'request'}`;
}
