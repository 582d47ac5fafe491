// @nestjs-cls/transactional with its TypeORM adapter, on @nestjs/typeorm.
import { ClsPluginTransactional, TransactionHost } from '@nestjs-cls/transactional';
import { TransactionalAdapterTypeOrm } from '@nestjs-cls/transactional-adapter-typeorm';
import { getDataSourceToken, TypeOrmModule } from '@nestjs/typeorm';
import { ClsModule } from 'nestjs-cls';
import { nextArticle, nextDocument, SET_TENANT, WAIT } from './data.mjs';
import { Article, Document, entities, Event } from './typeorm-entities.mjs';

class Routes {
  constructor(host) {
    this.host = host;
  }
  constant() {
    return this.host.tx.query('SELECT 1 AS one');
  }
  row() {
    return this.host.tx.findOneBy(Article, { id: nextArticle() });
  }
  relation() {
    return this.host.tx.findOne(Article, { where: { id: nextArticle() }, relations: { author: true } });
  }
  relations() {
    return this.host.tx.findOne(Article, {
      where: { id: nextArticle() },
      relations: { author: true, category: true },
    });
  }
  insert() {
    return this.host.withTransaction(() => this.host.tx.insert(Event, { name: 'created' }));
  }
  tenant() {
    const { id, tenant } = nextDocument();
    return this.host.withTransaction(async () => {
      await this.host.tx.query(SET_TENANT, [tenant]);
      return this.host.tx.findOneBy(Document, { id });
    });
  }
  blocked() {
    return this.host.tx.query(WAIT);
  }
}

export default ({ url, poolSize }) => ({
  imports: [
    TypeOrmModule.forRoot({ type: 'postgres', url, entities, poolSize, extra: { idleTimeoutMillis: 0 } }),
    ClsModule.forRoot({
      global: true,
      middleware: { mount: true },
      plugins: [
        new ClsPluginTransactional({
          adapter: new TransactionalAdapterTypeOrm({ dataSourceToken: getDataSourceToken() }),
        }),
      ],
    }),
  ],
  Routes,
  inject: [TransactionHost],
});
