// JavaScript, since Jest loads its global setup outside of its own module system, where nothing compiles TypeScript.
import './typescript.mjs';

const { startPostgres } = await import('./postgres-server.ts');

/**
 * Starts the PostgreSQL that all specs share: each creates databases of its own there with `createTestDatabase()`. Specs
 * that need a server of their own copy this one's cluster.
 */
export default async function setup() {
  const server = await startPostgres({ settings: { max_connections: 300 } });
  globalThis.testPostgres = server;
  await server.becomeTemplate();
  process.env.TEST_DATABASE_URL = server.url;
  process.env.TEST_DATABASE_SUPERUSER_URL = server.urlFor('postgres', 'postgres');
}
