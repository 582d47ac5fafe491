import { describe, expect, it } from '@jest/globals';
import { PgInternals } from './pg-internals.js';

describe('PgInternals', () => {
  it('treats a client without the undocumented properties as connected and ready', () => {
    const pg = new PgInternals({});
    expect([pg.isReadyForQuery, pg.isQueryable, pg.transactionStatus, pg.closeSocket()]).toEqual([
      true,
      true,
      null,
      false,
    ]);
  });

  it.each([
    [{ readyForQuery: false }, false],
    [{ readyForQuery: true, _activeQuery: {} }, false],
    [{ readyForQuery: true, _activeQuery: null, _queryQueue: [{}] }, false],
    [{ readyForQuery: true, _activeQuery: null, _queryQueue: [], _sentQueryQueue: [{}] }, false],
    [{ readyForQuery: true, _activeQuery: null, _queryQueue: [], _sentQueryQueue: [] }, true],
  ])('reports whether a client is ready for a query: %j', (client, isReady) => {
    expect(new PgInternals(client).isReadyForQuery).toBe(isReady);
  });

  it.each([
    [{ _queryable: false }, false],
    [{ _queryable: true, _ending: true }, false],
    [{ _queryable: true, _ending: false, _ended: true }, false],
    [{ _queryable: true, _ending: false, _ended: false }, true],
  ])('reports whether a client accepts a query: %j', (client, queryable) => {
    expect(new PgInternals(client).isQueryable).toBe(queryable);
  });
});
