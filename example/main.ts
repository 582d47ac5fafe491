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
  // Not process.exitCode: what a failed start has left running, such as a retry of a connect, would keep the process alive.
  process.exit(1);
}

async function run(): Promise<void> {
  const port = portFromEnvironment();
  const server = await demoServer();
  try {
    // With abortOnError a failed start would end the process before the `finally` below stops the PostgreSQL.
    const app = await NestFactory.create(AppModule, { abortOnError: false });
    try {
      await listen(app, port);
      const [rich, other] = await seedAccounts(app.get(DataSource));
      console.log(server.description);
      console.log(usage(await app.getUrl(), rich, other));
      // Not app.enableShutdownHooks(): it ends the process when Nest has closed, before the PostgreSQL is stopped. A second
      // Ctrl-C ends the process at once.
      await Promise.race([once(process, 'SIGINT'), once(process, 'SIGTERM')]);
    } finally {
      await app.close();
    }
  } finally {
    await server.stop();
  }
}

/** Listens on `port`, which must be free. Without it, on 3000, or on a random port when 3000 is in use. */
async function listen(app: INestApplication, port: number | undefined): Promise<void> {
  try {
    await app.listen(port ?? defaultPort, host);
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code !== 'EADDRINUSE') throw error;
    if (port !== undefined)
      throw new Error(`Something else listens on port ${port}: choose another PORT`, { cause: error });
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
