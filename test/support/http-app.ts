import type { AddressInfo } from 'node:net';
import type { INestApplication, ModuleMetadata } from '@nestjs/common';
import type { AbstractHttpAdapter } from '@nestjs/core';
import { ExpressAdapter } from '@nestjs/platform-express';
import { FastifyAdapter } from '@nestjs/platform-fastify';
import { Test } from '@nestjs/testing';
import { CapturingLogger } from './capturing-logger.js';

export interface HttpApp {
  readonly app: INestApplication;
  readonly logger: CapturingLogger;
  readonly url: string;
  /** Sends a GET request, or another one by `init`, and reads the body. */
  fetch(path: string, init?: RequestInit): Promise<{ status: number; body: any }>;
  close(): Promise<void>;
}

/** The HTTP platforms of Nest, for `describe.each`. */
export const ADAPTERS: [name: string, create: () => AbstractHttpAdapter][] = [
  ['Express', () => new ExpressAdapter()],
  ['Fastify', () => new FastifyAdapter()],
];

/** A Nest app on a free port of 127.0.0.1, on Express unless another adapter is given. */
export async function startHttpApp(
  metadata: ModuleMetadata,
  configure: (app: INestApplication) => void = () => {},
  adapter: AbstractHttpAdapter = new ExpressAdapter(),
): Promise<HttpApp> {
  const logger = new CapturingLogger();
  const module = await Test.createTestingModule(metadata).setLogger(logger).compile();
  const app = module.createNestApplication(adapter);
  configure(app);
  await app.listen(0, '127.0.0.1');
  const { port } = (app.getHttpServer() as { address(): AddressInfo }).address();
  const url = `http://127.0.0.1:${port}`;
  return {
    app,
    logger,
    url,
    fetch: async (path, init) => {
      const response = await fetch(url + path, init);
      const text = await response.text();
      return { status: response.status, body: /^[[{]/.test(text) ? JSON.parse(text) : text };
    },
    close: () => app.close(),
  };
}
