import { startPostgres } from '../test/support/postgres-server.js';

export interface DemoServer {
  description: string;
  stop(): Promise<void>;
}

/** The server of DB_URL or DATABASE_URL. If neither is set, starts a PostgreSQL server and sets DB_URL to its URL. */
export async function demoServer(): Promise<DemoServer> {
  const variable = ['DB_URL', 'DATABASE_URL'].find((name) => process.env[name]);
  if (variable) {
    return {
      description:
        `Using the PostgreSQL of ${variable}. The example uses the tables example_users and example_migrations there; ` +
        'drop them when you are done.',
      stop: async () => undefined,
    };
  }
  const server = await startPostgres();
  process.env.DB_URL = server.url;
  return {
    description:
      'DB_URL is not set: the example runs its own PostgreSQL, and deletes it with its data at the end.',
    stop: () => server.dispose(),
  };
}
