// What the routes of all candidates read and write. `../schema.ts` creates the tables.
export const ARTICLES = 1_000;
export const TENANTS = 10;

export const ROW = 'SELECT id, title, body FROM article WHERE id = $1';
export const SET_TENANT = "SELECT set_config('app.tenant', $1, true)";
/** Waits until the load generator gives up its lock. */
export const WAIT = 'SELECT pg_advisory_xact_lock_shared(1)';

let reads = 0;

/** Each call reads another row, as the requests of an app do. */
export function nextArticle() {
  reads = (reads + 7) % ARTICLES;
  return reads + 1;
}

/** A tenant and a document of this tenant. */
export function nextDocument() {
  const id = nextArticle();
  return { id, tenant: String(id % TENANTS) };
}
