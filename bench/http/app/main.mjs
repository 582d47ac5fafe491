// One measured app in a process of its own: `node main.mjs <candidate> <variant> <URL of the database> <size of the pool>`.
// Plain JavaScript: a compiler in this process would count as the app's time and memory.
import { performance } from 'node:perf_hooks';
import { setImmediate } from 'node:timers/promises';

await import('reflect-metadata');
const { Controller, Get, Inject, Module, Post } = await import('@nestjs/common');
const { NestFactory } = await import('@nestjs/core');

const [candidate, variant, url, poolSize] = process.argv.slice(2);
const nestImported = performance.now();
const { default: create } = await import(`./${candidate}.mjs`);
const imported = performance.now();

const METHODS = {
  constant: Get('constant'),
  row: Get('row'),
  rowBySql: Get('row-by-sql'),
  relation: Get('relation'),
  relations: Get('relations'),
  insert: Post('insert'),
  tenant: Get('tenant'),
  blocked: Get('blocked'),
};

class NoDatabase {
  none() {
    return { ok: true };
  }
}
decorateMethod(NoDatabase, 'none', Get('none'));
Controller()(NoDatabase);

const { Routes, inject = [], ...metadata } = await create({ url, poolSize: Number(poolSize), variant });
const controllers = [NoDatabase];
if (Routes) {
  for (const [name, decorator] of Object.entries(METHODS))
    if (name in Routes.prototype) decorateMethod(Routes, name, decorator);
  inject.forEach((token, index) => Inject(token)(Routes, undefined, index));
  Controller()(Routes);
  controllers.push(Routes);
}
class App {}
Module({ ...metadata, controllers })(App);

const app = await NestFactory.create(App, { logger: ['error'] });
await app.listen(0, '127.0.0.1');
const server = app.getHttpServer();
// A client is idle while the other apps have their turns.
server.keepAliveTimeout = 0;

process.on('disconnect', () => process.exit());
process.on('message', async (question) => process.send(await answers[question]()));
process.send({
  port: server.address().port,
  importMs: imported - nestImported,
  bootMs: performance.now() - imported,
  // Since the start of the process: with that of Node.js and the imports of Nest.
  listeningMs: performance.now(),
});

const answers = {
  /** CPU time of this process so far, in microseconds. */
  cpu() {
    const { user, system } = process.cpuUsage();
    return { micros: user + system };
  },
  /** Resident memory, and the memory in use after a full collection, in bytes. Needs --expose-gc. */
  async memory() {
    const { rss } = process.memoryUsage();
    for (let round = 0; round < 3; round += 1) {
      globalThis.gc();
      await setImmediate();
    }
    const { heapUsed, external } = process.memoryUsage();
    return { used: heapUsed + external, rss };
  },
  /** Connections of HTTP clients. */
  clients() {
    return new Promise((resolve) => server.getConnections((_, count) => resolve({ count })));
  },
};

function decorateMethod(Class, name, decorator) {
  decorator(Class.prototype, name, Object.getOwnPropertyDescriptor(Class.prototype, name));
}
