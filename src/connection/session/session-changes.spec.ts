import { describe, expect, it } from '@jest/globals';
import { PgInternals } from '../wire/pg-internals.js';
import type { SubmittedQuery } from '../wire/pg-internals.js';
import { NO_POOLER } from './pooler-terms.js';
import { SessionChanges } from './session-changes.js';

/** A client with the properties that show its active and queued queries. */
class Client {
  _activeQuery: SubmittedQuery | null = null;
  _queryQueue?: SubmittedQuery[];
  readonly changes = new SessionChanges(new PgInternals(this), NO_POOLER);

  /** Makes a statement the active one, as `pg` does when none is active. */
  readonly send = (text: string): SubmittedQuery => {
    const query = { text };
    this._activeQuery = query;
    this.changes.onStatementSent(text);
    return query;
  };

  /** Sends a statement, as a queued one of the hooks if there is one, and reports its command tag. */
  complete(text: string, tag: string): SubmittedQuery {
    const { changes } = this;
    const query = changes.isSetupQueued ? changes.sendQueuedSetup(() => this.send(text)) : this.send(text);
    changes.onCommandComplete(tag);
    this._activeQuery = null;
    return query;
  }
}

describe('SessionChanges', () => {
  it('assigns a change to the connect hooks until the setup is finished, and to the borrower afterwards', () => {
    const client = new Client();
    const hook = client.complete('SET a = 1', 'SET');
    client.changes.finishSetup(0);
    expect([client.changes.setupStatements, client.changes.changedBy]).toEqual([[hook], undefined]);
    client.complete('SET b = 1', 'SET');
    expect([client.changes.setupStatements, client.changes.changedBy]).toEqual([[hook], 'SET b = 1']);
  });

  it('assigns statements to the hooks that are active or queued when the setup is finished', () => {
    const client = new Client();
    const first = client.send('SET a = 1');
    client._queryQueue = [{ text: 'SET b = 1' }];
    client.changes.finishSetup(2);
    client.changes.onCommandComplete('SET');
    client._activeQuery = client._queryQueue.shift() as SubmittedQuery;
    const sent = client._activeQuery;
    client.changes.onCommandComplete('SET');
    const queued = [
      client.complete('SET c = 1', 'SET'),
      client.complete("SELECT set_config('d', '1', false)", 'SELECT 1'),
    ];
    expect(client.changes.setupStatements).toEqual([first, sent, ...queued]);
    expect(client.changes.changedBy).toBeUndefined();
    client.complete('SET e = 1', 'SET');
    expect([client.changes.setupStatements.length, client.changes.changedBy]).toEqual([4, 'SET e = 1']);
  });

  it('assigns statements to the borrower after a queued statement of the hooks that pg has refused', () => {
    const client = new Client();
    client.changes.finishSetup(1);
    const refuse = () =>
      client.changes.sendQueuedSetup(() => {
        throw new Error('refused');
      });
    expect(refuse).toThrow('refused');
    client.send("SELECT set_config('a', '1', false)");
    client.send("SELECT set_config('b', '1', false)");
    expect(client.changes.changedBy).toBe("SELECT set_config('a', '1', false)");
  });
});
