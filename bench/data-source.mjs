// The module's data source beside TypeORM's own, on one PostgreSQL, interleaved in one run.
//   npm run bench
import 'reflect-metadata';
import { performance } from 'node:perf_hooks';
import { Module } from '@nestjs/common';
import { NestFactory } from '@nestjs/core';
import { DataSource, EntitySchema } from 'typeorm';
import { DatabaseModule } from '../dist/esm/index.js';
import { startPostgres } from '../test/support/postgres-server.ts';

const Item = new EntitySchema({
  name: 'Item',
  columns: { id: { type: 'int', primary: true }, name: { type: 'text' } },
});

const server = await startPostgres();
class App {}
Module({
  imports: [
    DatabaseModule.forRoot({
      url: server.url,
      profile: 'production',
      entities: [Item],
      pool: { size: 10, maxOverflow: 0 },
    }),
  ],
})(App);
const app = await NestFactory.createApplicationContext(App, { logger: ['error'] });
const sources = {
  ours: app.get(DataSource),
  theirs: await new DataSource({
    type: 'postgres',
    url: server.url,
    entities: [Item],
    poolSize: 10,
  }).initialize(),
};
await sources.theirs.synchronize();
await sources.theirs.getRepository(Item).save({ id: 1, name: 'one' });

const works = {
  'query of a constant': (source) => source.query('SELECT 1'),
  'repository.findOneBy': (source) => source.getRepository(Item).findOneBy({ id: 1 }),
  'transaction with one update': (source) =>
    source.transaction((manager) => manager.update(Item, { id: 1 }, { name: 'one' })),
};

const median = (values) => [...values].sort((a, b) => a - b)[Math.floor(values.length / 2)];

async function callsPerSecond(work, source, workers, calls) {
  const started = performance.now();
  await Promise.all(
    Array.from({ length: workers }, async () => {
      for (let call = 0; call < calls / workers; call += 1) await work(source);
    }),
  );
  return (calls * 1000) / (performance.now() - started);
}

for (const [name, work] of Object.entries(works))
  for (const workers of [1, 10]) {
    if (workers > 1 && name.startsWith('transaction')) continue; // they would only wait for one row's lock
    const rates = { ours: [], theirs: [] };
    for (let round = 0; round < 12; round += 1)
      for (const [who, source] of Object.entries(sources)) {
        const rate = await callsPerSecond(work, source, workers, 1_000);
        // The first rounds warm the compiler up and open the connections.
        if (round >= 2) rates[who].push(rate);
      }
    const [ours, theirs] = [median(rates.ours), median(rates.theirs)];
    console.log(
      `${name}, ${workers} at a time: ours ${ours.toFixed(0)}/s, TypeORM ${theirs.toFixed(0)}/s, ratio ${(ours / theirs).toFixed(2)}`,
    );
  }

await sources.theirs.destroy();
await app.close();
await server.dispose();
