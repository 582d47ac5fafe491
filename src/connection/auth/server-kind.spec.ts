import { EventEmitter } from 'node:events';
import { describe, expect, it } from '@jest/globals';
import type { ServerKind } from '../../database.options.js';
import { requireServerKind } from './server-kind.js';

const KINDS: ServerKind[] = ['read-write', 'read-only', 'primary', 'standby'];

/** The kinds that a server with these reports, or this answer, satisfies; and how often it was queried. */
async function acceptedKinds(
  reported: Record<string, string>,
  answer?: { standby: boolean; read_only: boolean },
) {
  const kinds: ServerKind[] = [];
  let queries = 0;
  for (const kind of KINDS) {
    const wire = new EventEmitter();
    const verify = requireServerKind(wire, kind);
    for (const [parameterName, parameterValue] of Object.entries(reported))
      wire.emit('parameterStatus', { parameterName, parameterValue });
    const query = (text: string) => {
      expect(text).toMatch(
        /pg_is_in_recovery\(\) AS standby,.*default_transaction_read_only.* AS read_only$/,
      );
      queries += 1;
      return Promise.resolve({ rows: answer ? [answer] : [] });
    };
    await verify({ query }).then(
      () => kinds.push(kind),
      (error: unknown) => expect(error).toMatchObject({ code: 'SERVER_KIND_REFUSED' }),
    );
  }
  return { kinds, queries };
}

describe('requireServerKind', () => {
  it('relies on the kind that the server reports at the login, without a query', async () => {
    expect(
      await acceptedKinds({
        in_hot_standby: 'off',
        default_transaction_read_only: 'off',
        server_version: '18',
      }),
    ).toEqual({ kinds: ['read-write', 'primary'], queries: 0 });
    expect(await acceptedKinds({ in_hot_standby: 'on', default_transaction_read_only: 'off' })).toEqual({
      kinds: ['read-only', 'standby'],
      queries: 0,
    });
    expect(await acceptedKinds({ in_hot_standby: 'off', default_transaction_read_only: 'on' })).toEqual({
      kinds: ['read-only', 'primary'],
      queries: 0,
    });
  });

  it('queries a server that does not report its kind: before PostgreSQL 14, or behind a pooler', async () => {
    expect(await acceptedKinds({}, { standby: false, read_only: false })).toEqual({
      kinds: ['read-write', 'primary'],
      queries: 4,
    });
    expect(await acceptedKinds({ in_hot_standby: 'off' }, { standby: true, read_only: true })).toEqual({
      kinds: ['read-only', 'standby'],
      queries: 4,
    });
    expect(
      await acceptedKinds({ default_transaction_read_only: 'off' }, { standby: false, read_only: true }),
    ).toEqual({ kinds: ['read-only', 'primary'], queries: 4 });
  });

  it('treats a server whose answer has no row as a standby', async () => {
    expect(await acceptedKinds({})).toEqual({ kinds: ['read-only', 'standby'], queries: 4 });
  });

  it.each<[string, string, ServerKind, string]>([
    ['on', 'on', 'primary', 'a standby'],
    ['off', 'on', 'read-write', 'read-only'],
    ['off', 'off', 'standby', 'a primary'],
  ])(
    'names the kind found and the kind wanted (in_hot_standby %s, read-only %s)',
    async (recovering, readOnly, wanted, found) => {
      const wire = new EventEmitter();
      const verify = requireServerKind(wire, wanted);
      wire.emit('parameterStatus', { parameterName: 'in_hot_standby', parameterValue: recovering });
      wire.emit('parameterStatus', {
        parameterName: 'default_transaction_read_only',
        parameterValue: readOnly,
      });
      await expect(verify({ query: () => Promise.reject(new Error('queried')) })).rejects.toMatchObject({
        message: `The server is ${found}, and target_session_attrs is ${wanted}.`,
        hint: expect.stringContaining('target_session_attrs'),
      });
    },
  );
});
