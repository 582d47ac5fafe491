// Schemas instead of decorators: this file is plain JavaScript.
import { EntitySchema } from 'typeorm';

const id = { type: 'int', primary: true, generated: true };
const text = { type: 'text' };

export class Author {}
export class Category {}
export class Article {}
export class Event {}
export class Document {}

export const entities = [
  new EntitySchema({ name: 'Author', target: Author, tableName: 'author', columns: { id, name: text } }),
  new EntitySchema({
    name: 'Category',
    target: Category,
    tableName: 'category',
    columns: { id, name: text },
  }),
  new EntitySchema({
    name: 'Article',
    target: Article,
    tableName: 'article',
    columns: { id, title: text, body: text },
    relations: {
      author: { type: 'many-to-one', target: 'Author', joinColumn: { name: 'author_id' } },
      category: { type: 'many-to-one', target: 'Category', joinColumn: { name: 'category_id' } },
    },
  }),
  new EntitySchema({ name: 'Event', target: Event, tableName: 'event', columns: { id, name: text } }),
  new EntitySchema({
    name: 'Document',
    target: Document,
    tableName: 'document',
    columns: { id, tenant: text, title: text },
  }),
];
