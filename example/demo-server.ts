import { startPostgres } from '../test/support/postgres-server.js';

export interface DemoServer {
  description: string;
  stop(): Promise<void>;
}

/** The server that DB_URL or DATABASE_URL names; if neither is set, one of our own, which DB_URL names afterwards. */
export async function demoServer(): Promise<DemoServer> {
  const given = ['DB_URL', 'DATABASE_URL'].find((name) => process.env[name]);
  if (given) {
    return {
      description:
        `Using the PostgreSQL of ${given}. The example's tables in it are example_users and example_migrations; ` +
        'drop them when you are done.',
      stop: async () => undefined,
    };
  }
  const server = await startPostgres();
  process.env.DB_URL = server.url;
  return {
    description:
      'DB_URL is not set, so a PostgreSQL of the example is running: it and its data go when the example ends.',
    stop: () => server.dispose(),
  };
}
