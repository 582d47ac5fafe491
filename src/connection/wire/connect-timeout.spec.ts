import { describe, expect, it } from '@jest/globals';
import { connectTimeoutError } from './connect-timeout.js';
import { askForPassword } from '../auth/password.js';

describe('a dial that took too long', () => {
  it('tells a server that is not reached from one that keeps silent', () => {
    const client = (connecting?: boolean) => ({
      host: 'db',
      port: 5433,
      connection: { stream: { connecting } },
    });
    expect(connectTimeoutError(client(true), 70)).toMatchObject({
      code: 'CONNECT_TIMEOUT',
      message: expect.stringContaining('db:5433 did not answer within 70 ms'),
    });
    expect(connectTimeoutError(client(false), 70)).toMatchObject({
      code: 'HANDSHAKE_TIMEOUT',
      message: expect.stringContaining(
        'db:5433 accepted the connection but did not complete the login within 70 ms',
      ),
    });
    expect(connectTimeoutError(client(), 70)).toMatchObject({ code: 'CONNECT_TIMEOUT' });
  });

  it('says what it knows of a client that does not tell its address or its socket', () => {
    for (const client of [{}, { connection: {} }])
      expect(connectTimeoutError(client, 70)).toMatchObject({
        code: 'CONNECT_TIMEOUT',
        message: expect.stringContaining('the server did not answer within 70 ms'),
      });
  });

  it('is not the fault of the server while the password has not come', () => {
    const client: { host: string; password?: () => Promise<string> } = { host: 'db' };
    askForPassword(client, { ask: () => new Promise(() => undefined), refused: () => undefined });
    void client.password!();
    expect(connectTimeoutError(client, 70)).toMatchObject({
      code: 'PASSWORD_UNAVAILABLE',
      message: 'The password function did not answer within 70 ms.',
    });
  });
});
