import 'reflect-metadata';
import { once } from 'node:events';
import type { INestApplication } from '@nestjs/common';
import { NestFactory } from '@nestjs/core';
import { DataSource } from 'typeorm';
import { AppModule } from './app.module.js';
import { demoServer } from './demo-server.js';
import { seedAccounts } from './seed-accounts.js';
import { usage } from './usage.js';

const host = '127.0.0.1';
const defaultPort = 3000;

try {
  await run();
} catch (error) {
  console.error(error instanceof Error ? error.message : error);
  // Not process.exitCode: a retry of a connect that a failed start has left would keep the process alive.
  process.exit(1);
}

async function run(): Promise<void> {
  const port = portFromEnvironment();
  const server = await demoServer();
  try {
    // With abortOnError, a failed start would end the process before the `finally` below stops the PostgreSQL server.
    const app = await NestFactory.create(AppModule, { abortOnError: false });
    try {
      await listen(app, port);
      const [rich, other] = await seedAccounts(app.get(DataSource));
      console.log(server.description);
      console.log(usage(await app.getUrl(), rich, other));
      // Not app.enableShutdownHooks(): it would end the process before the PostgreSQL server is stopped. A second Ctrl-C ends
      // the process at once.
      await Promise.race([once(process, 'SIGINT'), once(process, 'SIGTERM')]);
    } finally {
      await app.close();
    }
  } finally {
    await server.stop();
  }
}

/** Listens on `port`, or fails if it is in use. Without `port`, listens on 3000, or on a random port if 3000 is in use. */
async function listen(app: INestApplication, port: number | undefined): Promise<void> {
  try {
    await app.listen(port ?? defaultPort, host);
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code !== 'EADDRINUSE') throw error;
    if (port !== undefined)
      throw new Error(`Port ${port} is in use: set PORT to another one`, { cause: error });
    await app.listen(0, host);
  }
}

function portFromEnvironment(): number | undefined {
  const text = process.env.PORT;
  if (!text) return undefined;
  const port = /^\d{1,5}$/.test(text) ? Number(text) : NaN;
  if (!(port >= 0 && port <= 65_535)) throw new Error(`PORT is "${text}", not a number from 0 to 65535`);
  return port;
}
