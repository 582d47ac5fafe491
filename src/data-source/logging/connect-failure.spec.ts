import { describe, expect, it } from '@jest/globals';
import { readEnvironment } from '../../config/environment/environment.js';
import { resolveDatabaseOptions } from '../../config/resolve.js';
import { connectFailure } from './connect-failure.js';

const settingsOf = (url: string) => resolveDatabaseOptions(readEnvironment({ DB_URL: url }));
const settings = settingsOf('postgres://app:hunter2@db.example.com:6432/orders');

describe('a connect failure', () => {
  it('has the diagnosis, the target, and a summary with the message of the error', () => {
    const error = Object.assign(new Error('connect ECONNREFUSED 192.0.2.1:6432'), { code: 'ECONNREFUSED' });
    expect(connectFailure(error, settings)).toMatchObject({
      code: 'CONNECTION_REFUSED',
      category: 'network',
      transient: true,
      hint: expect.stringContaining('DB_URL'),
      target: 'database "orders" at db.example.com:6432 as "app"',
      summary: 'nothing accepts connections at this address (connect ECONNREFUSED 192.0.2.1:6432)',
    });
  });

  it('has a summary on one line, without credentials', () => {
    const { summary } = connectFailure(new Error('no way to\npostgres://app:hunter2@db\n'), settings);
    expect(summary).toBe('the connection failed (no way to postgres://***@db)');
  });

  it('has the meaning alone as its summary when the error has no message', () => {
    expect(connectFailure({}, settings).summary).toBe('the connection failed');
  });

  it('is transient for an unknown host name that is local', () => {
    const error = Object.assign(new Error('getaddrinfo ENOTFOUND db'), { code: 'ENOTFOUND' });
    expect(connectFailure(error, settingsOf('postgres://app:x@db/orders')).transient).toBe(true);
    expect(connectFailure(error, settings).transient).toBe(false);
  });
});
