// JavaScript, since Jest loads its global setup outside of its own module system, where nothing compiles TypeScript.
import './typescript.mjs';

const { startPostgres } = await import('./postgres-server.ts');

/** One PostgreSQL for all specs; each takes databases of its own from it with `createTestDatabase()`. */
export default async function setup() {
  const server = await startPostgres({ settings: { max_connections: 300 } });
  globalThis.testPostgres = server;
  process.env.TEST_DATABASE_URL = server.url;
  process.env.TEST_DATABASE_SUPERUSER_URL = server.urlFor('postgres', 'postgres');
}
