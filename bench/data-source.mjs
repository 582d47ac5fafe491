// Compares the data source of the module with that of TypeORM on one PostgreSQL server. The calls of both are interleaved.
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

for (const [title, work] of Object.entries(works))
  for (const workers of [1, 10]) {
    if (workers > 1 && title.startsWith('transaction')) continue; // They would only wait for the lock of one row.
    const rates = { ours: [], theirs: [] };
    for (let round = 0; round < 12; round += 1)
      for (const [name, source] of Object.entries(sources)) {
        const rate = await callsPerSecond(work, source, workers, 1_000);
        // The first rounds open the connections and warm up the compiler.
        if (round >= 2) rates[name].push(rate);
      }
    const [ours, theirs] = [median(rates.ours), median(rates.theirs)];
    console.log(
      `${title}, ${workers} at a time: ours ${ours.toFixed(0)}/s, TypeORM ${theirs.toFixed(0)}/s, ratio ${(ours / theirs).toFixed(2)}`,
    );
  }

await sources.theirs.destroy();
await app.close();
await server.dispose();
