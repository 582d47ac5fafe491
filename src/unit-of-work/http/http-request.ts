import type { IncomingMessage, ServerResponse } from 'node:http';

/** A request as Nest hands it out: Express' is Node's own, Fastify's has it as `raw`. */
export interface HttpRequest {
  readonly raw?: IncomingMessage;
  readonly method?: string;
  readonly baseUrl?: string;
  /** Express' route. */
  readonly route?: { path?: unknown };
  /** Fastify's. */
  readonly routeOptions?: { url?: string };
}

/** Modules with a transport of their own call themselves 'http' too, with arguments of any kind. */
export function isHttp(request: unknown): request is HttpRequest {
  const http = request as (HttpRequest & { headers?: unknown }) | undefined;
  return typeof http?.method === 'string' && typeof http.headers === 'object';
}

/** Node's own request. */
export function messageOf(request: HttpRequest): IncomingMessage {
  return request.raw ?? (request as IncomingMessage);
}

/** Express' response is Node's own, Fastify's has it as `raw`; undefined for what is none. */
export function responseOf(given: unknown): ServerResponse | undefined {
  const response =
    (given as { raw?: ServerResponse } | undefined)?.raw ?? (given as ServerResponse | undefined);
  return typeof response?.on === 'function' ? response : undefined;
}

/** `GET /users/:id`: the route and not the URL, which may hold secrets and would be a label of its own per request. */
export function nameOf({ method, baseUrl = '', route, routeOptions }: HttpRequest): string {
  const path = typeof route?.path === 'string' ? baseUrl + route.path : routeOptions?.url;
  return `${method} ${path ?? 'request'}`;
}
