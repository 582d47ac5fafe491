import 'reflect-metadata';
import { NestFactory } from '@nestjs/core';
import { FastifyAdapter } from '@nestjs/platform-fastify';
import type { NestFastifyApplication } from '@nestjs/platform-fastify';
import { DatabaseMonitor } from 'nestjs-database';
import { AppModule } from './fastify-app.js';
import { until } from '../support/until.js';

/**
 * Requests each given path by `inject()`, and prints the answers and the number of connections that are still leased after
 * a while. It runs in a process of its own, since Jest on Node 20 cannot load `light-my-request`.
 */
const app = await NestFactory.create<NestFastifyApplication>(AppModule, new FastifyAdapter(), {
  logger: false,
});
await app.init();
const answers = [];
for (const url of process.argv.slice(2)) {
  const { statusCode, payload } = await app.inject({ method: 'GET', url });
  const deadline = performance.now() + 1000;
  const checkedOut = () => app.get(DatabaseMonitor).poolStats().checkedOut;
  await until(() => checkedOut() === 0 || performance.now() >= deadline);
  answers.push({ status: statusCode, text: payload, checkedOut: checkedOut() });
}
await app.close();
console.log(JSON.stringify(answers));
