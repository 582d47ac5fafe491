import { EventEmitter } from 'node:events';
import { describe, expect, it } from '@jest/globals';
import type { ServerKind } from '../../database.options.js';
import { requireServerKind } from './server-kind.js';

const KINDS: ServerKind[] = ['read-write', 'read-only', 'primary', 'standby'];

/** Which kinds are let in by a server that reports, or answers, so. */
async function letIn(reported: Record<string, string>, answer?: { standby: boolean; read_only: boolean }) {
  const kinds: ServerKind[] = [];
  let asked = 0;
  for (const kind of KINDS) {
    const wire = new EventEmitter();
    const judge = requireServerKind(wire, kind);
    for (const [parameterName, parameterValue] of Object.entries(reported))
      wire.emit('parameterStatus', { parameterName, parameterValue });
    const query = (text: string) => {
      expect(text).toMatch(
        /pg_is_in_recovery\(\) AS standby,.*default_transaction_read_only.* AS read_only$/,
      );
      asked += 1;
      return Promise.resolve({ rows: answer ? [answer] : [] });
    };
    await judge({ query }).then(
      () => kinds.push(kind),
      (error: unknown) => expect(error).toMatchObject({ code: 'SERVER_KIND_REFUSED' }),
    );
  }
  return { kinds, asked };
}

describe('requireServerKind', () => {
  it('takes the kind that the server reports at the login, without a query', async () => {
    expect(
      await letIn({ in_hot_standby: 'off', default_transaction_read_only: 'off', server_version: '18' }),
    ).toEqual({ kinds: ['read-write', 'primary'], asked: 0 });
    expect(await letIn({ in_hot_standby: 'on', default_transaction_read_only: 'off' })).toEqual({
      kinds: ['read-only', 'standby'],
      asked: 0,
    });
    expect(await letIn({ in_hot_standby: 'off', default_transaction_read_only: 'on' })).toEqual({
      kinds: ['read-only', 'primary'],
      asked: 0,
    });
  });

  it('asks a server that does not report its kind: before PostgreSQL 14, or behind a pooler', async () => {
    expect(await letIn({}, { standby: false, read_only: false })).toEqual({
      kinds: ['read-write', 'primary'],
      asked: 4,
    });
    expect(await letIn({ in_hot_standby: 'off' }, { standby: true, read_only: true })).toEqual({
      kinds: ['read-only', 'standby'],
      asked: 4,
    });
    expect(
      await letIn({ default_transaction_read_only: 'off' }, { standby: false, read_only: true }),
    ).toEqual({ kinds: ['read-only', 'primary'], asked: 4 });
  });

  it('takes a server for read-only when the query has no answer', async () => {
    expect(await letIn({})).toEqual({ kinds: ['read-only', 'standby'], asked: 4 });
  });

  it.each<[string, string, ServerKind, string]>([
    ['on', 'on', 'primary', 'a standby'],
    ['off', 'on', 'read-write', 'read-only'],
    ['off', 'off', 'standby', 'a primary'],
  ])(
    'names the kind found and the kind wanted (in_hot_standby %s, read-only %s)',
    async (recovering, readOnly, wanted, found) => {
      const wire = new EventEmitter();
      const judge = requireServerKind(wire, wanted);
      wire.emit('parameterStatus', { parameterName: 'in_hot_standby', parameterValue: recovering });
      wire.emit('parameterStatus', {
        parameterName: 'default_transaction_read_only',
        parameterValue: readOnly,
      });
      await expect(judge({ query: () => Promise.reject(new Error('asked')) })).rejects.toMatchObject({
        message: `The server is ${found}, and target_session_attrs is ${wanted}.`,
        hint: expect.stringContaining('target_session_attrs'),
      });
    },
  );
});
