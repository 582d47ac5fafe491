import type { Candidate } from './candidates.js';
import { NEST } from './candidates.js';

export interface Route {
  readonly path: string;
  readonly method: 'GET' | 'POST';
  readonly title: string;
}

const get = (path: string, title: string): Route => ({ path: `/${path}`, method: 'GET', title });

export const NONE = get('none', 'no database');
export const CONSTANT = get('constant', 'constant');
export const ROW = get('row', 'row by key');
export const TENANT = get('tenant', "tenant's transaction");
/** The row by its key by a text of the app. Only some candidates have it. */
export const ROW_BY_SQL = get('row-by-sql', 'row by key, SQL');
/** Answers when the advisory lock 1 is free. */
export const BLOCKED = get('blocked', 'blocked');

export const ROUTES: readonly Route[] = [
  NONE,
  CONSTANT,
  ROW,
  get('relation', 'one relation'),
  get('relations', 'two relations'),
  { path: '/insert', method: 'POST', title: 'insert' },
  TENANT,
];

export const has = (candidate: Candidate, route: Route): boolean => candidate !== NEST || route === NONE;
