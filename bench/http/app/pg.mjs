// `pg.Pool` alone: `unnamed` statements, or `named` ones, which PostgreSQL prepares once per connection.
import pg from 'pg';
import { nextArticle, nextDocument, ROW, SET_TENANT, WAIT } from './data.mjs';

const RELATION = `
  SELECT a.id, a.title, a.body, json_build_object('id', w.id, 'name', w.name) AS author
  FROM article a LEFT JOIN author w ON w.id = a.author_id WHERE a.id = $1`;
const RELATIONS = `
  SELECT a.id, a.title, a.body, json_build_object('id', w.id, 'name', w.name) AS author,
    json_build_object('id', c.id, 'name', c.name) AS category
  FROM article a LEFT JOIN author w ON w.id = a.author_id LEFT JOIN category c ON c.id = a.category_id
  WHERE a.id = $1`;
const INSERT = 'INSERT INTO event (name) VALUES ($1) RETURNING id';
const DOCUMENT = 'SELECT id, tenant, title FROM document WHERE id = $1';

class Routes {
  constructor(pool, named) {
    this.pool = pool;
    this.named = named;
  }
  async run(client, name, text, values) {
    return (await client.query({ name: this.named ? name : undefined, text, values })).rows;
  }
  async one(name, text, values) {
    return (await this.run(this.pool, name, text, values))[0];
  }
  async transaction(work) {
    const client = await this.pool.connect();
    try {
      await client.query('BEGIN');
      const result = await work(client);
      await client.query('COMMIT');
      return result;
    } catch (error) {
      await client.query('ROLLBACK');
      throw error;
    } finally {
      client.release();
    }
  }
  async constant() {
    return (await this.pool.query('SELECT 1 AS one')).rows;
  }
  row() {
    return this.one('row', ROW, [nextArticle()]);
  }
  rowBySql() {
    return this.row();
  }
  relation() {
    return this.one('relation', RELATION, [nextArticle()]);
  }
  relations() {
    return this.one('relations', RELATIONS, [nextArticle()]);
  }
  insert() {
    return this.transaction((client) => this.run(client, 'insert', INSERT, ['created']));
  }
  tenant() {
    const { id, tenant } = nextDocument();
    return this.transaction(async (client) => {
      await this.run(client, 'tenant', SET_TENANT, [tenant]);
      return (await this.run(client, 'document', DOCUMENT, [id]))[0];
    });
  }
  async blocked() {
    return (await this.pool.query(WAIT)).rows;
  }
}

export default ({ url, poolSize, variant }) => ({
  providers: [
    {
      provide: pg.Pool,
      useFactory: () => new pg.Pool({ connectionString: url, max: poolSize, idleTimeoutMillis: 0 }),
    },
    { provide: 'named', useValue: variant === 'named' },
  ],
  Routes,
  inject: [pg.Pool, 'named'],
});
