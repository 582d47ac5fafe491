// MikroORM. Each request has an entity manager of its own, as its middleware creates one.
import { EntitySchema, MikroORM } from '@mikro-orm/postgresql';
import { nextArticle, nextDocument, SET_TENANT, WAIT } from './data.mjs';

const id = { type: 'integer', primary: true, autoincrement: true };
const text = { type: 'text' };
const schema = (name, properties) =>
  new EntitySchema({ name, tableName: name.toLowerCase(), properties: { id, ...properties } });
const Author = schema('Author', { name: text });
const Category = schema('Category', { name: text });
const Article = schema('Article', {
  title: text,
  body: text,
  author: { kind: 'm:1', entity: () => 'Author' },
  category: { kind: 'm:1', entity: () => 'Category' },
});
const Event = schema('Event', { name: text });
const Document = schema('Document', { tenant: text, title: text });

class Routes {
  constructor(orm) {
    this.orm = orm;
  }
  constant() {
    return this.orm.em.fork().execute('SELECT 1 AS one');
  }
  row() {
    return this.orm.em.fork().findOne(Article, { id: nextArticle() });
  }
  relation() {
    return this.orm.em.fork().findOne(Article, { id: nextArticle() }, { populate: ['author'] });
  }
  relations() {
    return this.orm.em.fork().findOne(Article, { id: nextArticle() }, { populate: ['author', 'category'] });
  }
  insert() {
    return this.orm.em.fork().transactional(async (em) => {
      const event = em.create(Event, { name: 'created' });
      await em.flush();
      return { id: event.id };
    });
  }
  tenant() {
    const { id, tenant } = nextDocument();
    return this.orm.em.fork().transactional(async (em) => {
      await em.execute(SET_TENANT.replace('$1', '?'), [tenant]);
      return em.findOne(Document, { id });
    });
  }
  blocked() {
    return this.orm.em.fork().execute(WAIT);
  }
}

export default ({ url, poolSize }) => ({
  providers: [
    {
      provide: MikroORM,
      useFactory: () =>
        MikroORM.init({
          entities: [Author, Category, Article, Event, Document],
          clientUrl: url,
          pool: { max: poolSize, idleTimeoutMillis: 0 },
        }),
    },
  ],
  Routes,
  inject: [MikroORM],
});
