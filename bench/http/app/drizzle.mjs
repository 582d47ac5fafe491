// Drizzle on `pg.Pool`.
import { eq, relations, sql } from 'drizzle-orm';
import { drizzle } from 'drizzle-orm/node-postgres';
import { integer, pgTable, serial, text } from 'drizzle-orm/pg-core';
import pg from 'pg';
import { nextArticle, nextDocument, WAIT } from './data.mjs';

const author = pgTable('author', { id: serial().primaryKey(), name: text() });
const category = pgTable('category', { id: serial().primaryKey(), name: text() });
const article = pgTable('article', {
  id: serial().primaryKey(),
  title: text(),
  body: text(),
  authorId: integer('author_id'),
  categoryId: integer('category_id'),
});
const articleRelations = relations(article, ({ one }) => ({
  author: one(author, { fields: [article.authorId], references: [author.id] }),
  category: one(category, { fields: [article.categoryId], references: [category.id] }),
}));
const event = pgTable('event', { id: serial().primaryKey(), name: text() });
const document = pgTable('document', { id: serial().primaryKey(), tenant: text(), title: text() });
const schema = { author, category, article, articleRelations, event, document };

class Routes {
  constructor(db) {
    this.db = db;
  }
  async constant() {
    return (await this.db.execute(sql`SELECT 1 AS one`)).rows;
  }
  row() {
    return this.db.query.article.findFirst({ where: eq(article.id, nextArticle()) });
  }
  relation() {
    return this.db.query.article.findFirst({
      where: eq(article.id, nextArticle()),
      with: { author: true },
    });
  }
  relations() {
    return this.db.query.article.findFirst({
      where: eq(article.id, nextArticle()),
      with: { author: true, category: true },
    });
  }
  insert() {
    return this.db.transaction((tx) =>
      tx.insert(event).values({ name: 'created' }).returning({ id: event.id }),
    );
  }
  tenant() {
    const { id, tenant } = nextDocument();
    return this.db.transaction(async (tx) => {
      await tx.execute(sql`SELECT set_config('app.tenant', ${tenant}, true)`);
      return tx.query.document.findFirst({ where: eq(document.id, id) });
    });
  }
  async blocked() {
    return (await this.db.execute(sql.raw(WAIT))).rows;
  }
}

export default ({ url, poolSize }) => ({
  providers: [
    {
      provide: 'Drizzle',
      useFactory: () =>
        drizzle({
          client: new pg.Pool({ connectionString: url, max: poolSize, idleTimeoutMillis: 0 }),
          schema,
        }),
    },
  ],
  Routes,
  inject: ['Drizzle'],
});
