import { describe, expect, it } from '@jest/globals';
import type { SubmittedQuery } from '../wire/pg-internals.js';
import { SessionChanges } from './session-changes.js';

/** The parts of a client that tell what runs. */
class Client {
  queuedStatements = 0;
  _activeQuery: SubmittedQuery | null = null;
  _queryQueue?: SubmittedQuery[];
  readonly changes = new SessionChanges(this);

  /** As `pg` does with one that goes out at once. */
  readonly run = (text: string): SubmittedQuery => {
    const query = { text };
    this._activeQuery = query;
    this.changes.onSent(text);
    return query;
  };

  /** Sends it from the line, and has the server complete it. */
  take(text: string, tag: string): SubmittedQuery {
    const query = this.changes.send(() => this.run(text));
    this.changes.onCommandComplete(tag);
    this._activeQuery = null;
    return query;
  }
}

describe('what changes a session', () => {
  it('is the hooks’ until they are over, and the borrower’s from then on', () => {
    const client = new Client();
    const hook = client.take('SET a = 1', 'SET');
    client.changes.finishSetup();
    expect([client.changes.setup, client.changes.changedBy]).toEqual([[hook], undefined]);
    client.take('SET b = 1', 'SET');
    expect([client.changes.setup, client.changes.changedBy]).toEqual([[hook], 'SET b = 1']);
  });

  it('is the hooks’ still when their statements run, or wait in the line, as they end', () => {
    const client = new Client();
    const first = client.run('SET a = 1');
    client._queryQueue = [{ text: 'SET b = 1' }];
    client.queuedStatements = 2;
    client.changes.finishSetup();
    client.changes.onCommandComplete('SET');
    client._activeQuery = client._queryQueue.shift() as SubmittedQuery;
    const sent = client._activeQuery;
    client.changes.onCommandComplete('SET');
    const ahead = [
      client.take('SET c = 1', 'SET'),
      client.take("SELECT set_config('d', '1', false)", 'SELECT 1'),
    ];
    expect(client.changes.setup).toEqual([first, sent, ...ahead]);
    expect(client.changes.changedBy).toBeUndefined();
    client.take('SET e = 1', 'SET');
    expect([client.changes.setup.length, client.changes.changedBy]).toEqual([4, 'SET e = 1']);
  });

  it('is the borrower’s after a statement of the hooks that pg did not take', () => {
    const client = new Client();
    client.queuedStatements = 1;
    client.changes.finishSetup();
    const refuse = () =>
      client.changes.send(() => {
        throw new Error('not taken');
      });
    expect(refuse).toThrow('not taken');
    client.run("SELECT set_config('a', '1', false)");
    client.run("SELECT set_config('b', '1', false)");
    expect(client.changes.changedBy).toBe("SELECT set_config('a', '1', false)");
  });
});
