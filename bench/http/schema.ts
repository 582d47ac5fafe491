import type { PostgresServer } from '../../test/support/postgres-server.js';

/** The tables of the routes. `app/data.mjs` has the same numbers of articles and tenants. */
const SCHEMA = `
  CREATE TABLE author (id serial PRIMARY KEY, name text NOT NULL);
  CREATE TABLE category (id serial PRIMARY KEY, name text NOT NULL);
  CREATE TABLE article (
    id serial PRIMARY KEY, title text NOT NULL, body text NOT NULL,
    author_id int NOT NULL REFERENCES author, category_id int NOT NULL REFERENCES category
  );
  CREATE TABLE event (id serial PRIMARY KEY, name text NOT NULL);
  CREATE TABLE document (id serial PRIMARY KEY, tenant text NOT NULL, title text NOT NULL);
  INSERT INTO author (name) SELECT 'Author ' || n FROM generate_series(1, 100) n;
  INSERT INTO category (name) SELECT 'Category ' || n FROM generate_series(1, 20) n;
  INSERT INTO article (title, body, author_id, category_id)
    SELECT 'Article ' || n, repeat('text ', 40), n % 100 + 1, n % 20 + 1 FROM generate_series(1, 1000) n;
  INSERT INTO document (tenant, title) SELECT (n % 10)::text, 'Document ' || n FROM generate_series(1, 1000) n;
  ALTER TABLE document ENABLE ROW LEVEL SECURITY;
  CREATE POLICY own_documents ON document USING (tenant = current_setting('app.tenant', true));
  GRANT ALL ON ALL TABLES IN SCHEMA public TO app;
  GRANT ALL ON ALL SEQUENCES IN SCHEMA public TO app;
  ANALYZE;
`;

export async function createTables(server: PostgresServer): Promise<void> {
  await server.sql(SCHEMA);
}
