// The routes on TypeORM: by the data source, and by a query runner of the request.
import { nextArticle, nextDocument, ROW, SET_TENANT, WAIT } from './data.mjs';
import { Article, Document, Event } from './typeorm-entities.mjs';

export class DataSourceRoutes {
  constructor(dataSource) {
    this.dataSource = dataSource;
    this.articles = dataSource.getRepository(Article);
  }
  constant() {
    return this.dataSource.query('SELECT 1 AS one');
  }
  row() {
    return this.articles.findOneBy({ id: nextArticle() });
  }
  async rowBySql() {
    return (await this.dataSource.query(ROW, [nextArticle()]))[0];
  }
  relation() {
    return this.articles.findOne({ where: { id: nextArticle() }, relations: { author: true } });
  }
  relations() {
    return this.articles.findOne({
      where: { id: nextArticle() },
      relations: { author: true, category: true },
    });
  }
  insert() {
    return this.dataSource.transaction((manager) => manager.insert(Event, { name: 'created' }));
  }
  tenant() {
    const { id, tenant } = nextDocument();
    return this.dataSource.transaction(async (manager) => {
      await manager.query(SET_TENANT, [tenant]);
      return manager.findOneBy(Document, { id });
    });
  }
  blocked() {
    return this.dataSource.query(WAIT);
  }
}

export class RunnerRoutes {
  constructor(runner) {
    this.runner = runner;
  }
  constant() {
    return this.runner.query('SELECT 1 AS one');
  }
  row() {
    return this.runner.manager.findOneBy(Article, { id: nextArticle() });
  }
  relation() {
    return this.runner.manager.findOne(Article, {
      where: { id: nextArticle() },
      relations: { author: true },
    });
  }
  relations() {
    return this.runner.manager.findOne(Article, {
      where: { id: nextArticle() },
      relations: { author: true, category: true },
    });
  }
  insert() {
    return this.runner.manager.transaction((manager) => manager.insert(Event, { name: 'created' }));
  }
  tenant() {
    const { id, tenant } = nextDocument();
    return this.runner.manager.transaction(async (manager) => {
      await manager.query(SET_TENANT, [tenant]);
      return manager.findOneBy(Document, { id });
    });
  }
  blocked() {
    return this.runner.query(WAIT);
  }
}
