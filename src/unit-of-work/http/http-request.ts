import type { IncomingMessage, ServerResponse } from 'node:http';

/** A request of Nest: that of Express is Node's own, that of Fastify has it as `raw`. */
export interface HttpRequest {
  readonly raw?: IncomingMessage;
  readonly method?: string;
  readonly baseUrl?: string;
  /** Express' route. */
  readonly route?: { path?: unknown };
  /** Fastify's. */
  readonly routeOptions?: { url?: string };
}

/** Modules with a transport of their own use the type 'http' too, with arguments of any kind. */
export function isHttp(request: unknown): request is HttpRequest {
  const http = request as (HttpRequest & { headers?: unknown }) | undefined;
  return typeof http?.method === 'string' && typeof http.headers === 'object';
}

/** Node's own request. */
export function messageOf(request: HttpRequest): IncomingMessage {
  return request.raw ?? (request as IncomingMessage);
}

/** Node's own response: that of Express itself, `raw` of Fastify's; undefined for anything else. */
export function responseOf(given: unknown): ServerResponse | undefined {
  const response =
    (given as { raw?: ServerResponse } | undefined)?.raw ?? (given as ServerResponse | undefined);
  return typeof response?.on === 'function' ? response : undefined;
}

/** `GET /users/:id`: the route. The URL may hold secrets, and would be a label of its own for each request. */
export function nameOf({ method, baseUrl = '', route, routeOptions }: HttpRequest): string {
  const path = typeof route?.path === 'string' ? baseUrl + route.path : routeOptions?.url;
  return `${method} ${path ?? 'request'}`;
}
