import 'reflect-metadata';
import { once } from 'node:events';
import type { INestApplication } from '@nestjs/common';
import { NestFactory } from '@nestjs/core';
import { DataSource } from 'typeorm';
import { AppModule } from './app.module.js';
import { accountsToTry } from './accounts-to-try.js';
import { demoServer } from './demo-server.js';
import { whatToTry } from './what-to-try.js';

const host = '127.0.0.1';
const usualPort = 3000;

try {
  await run();
} catch (error) {
  console.error(error instanceof Error ? error.message : error);
  // Not exitCode: a start that failed may have left something running, such as further tries to connect.
  process.exit(1);
}

async function run(): Promise<void> {
  const port = portFromEnvironment();
  const server = await demoServer();
  try {
    // abortOnError would end the process in the middle of a failed start, past our own clean-up.
    const app = await NestFactory.create(AppModule, { abortOnError: false });
    try {
      await listen(app, port);
      const [rich, other] = await accountsToTry(app.get(DataSource));
      console.log(server.description);
      console.log(whatToTry(await app.getUrl(), rich, other));
      // Not app.enableShutdownHooks(): that ends the process as soon as Nest is done, and the PostgreSQL, which Nest
      // needs until then, has to be stopped after it. A second Ctrl-C ends the process at once.
      await Promise.race([once(process, 'SIGINT'), once(process, 'SIGTERM')]);
    } finally {
      await app.close();
    }
  } finally {
    await server.stop();
  }
}

/** PORT must be free; without it 3000 is taken, or any other port when something listens there already. */
async function listen(app: INestApplication, port: number | undefined): Promise<void> {
  try {
    await app.listen(port ?? usualPort, host);
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
