import { EventEmitter } from 'node:events';
import { describe, expect, it } from '@jest/globals';
import { assertDirectTls, verifyTlsStart, verifyFirstByte } from './handshake-checks.js';

type Upgrade = (host: string | undefined, report: (error: Error) => void) => void;

interface Settings {
  ssl?: unknown;
  sslNegotiation?: string;
  upgradeToSSL?: Upgrade | undefined;
  stream?: EventEmitter;
}

function startTls(settings: Settings, onRefused: (error: Error) => void = () => undefined) {
  const refused: Error[] = [];
  const hosts: unknown[] = [];
  const wire = Object.assign(new EventEmitter(), {
    stream: new EventEmitter(),
    upgradeToSSL(this: unknown, host: string | undefined, report: (error: Error) => void) {
      hosts.push(host, this === wire);
      report(new Error('reported'));
    },
    ...settings,
  });
  verifyTlsStart(wire, (error) => {
    refused.push(error);
    onRefused(error);
  });
  /** Completes the TLS handshake with this protocol (ALPN). */
  const secured = (alpnProtocol: string | false) => {
    wire.stream = Object.assign(new EventEmitter(), { alpnProtocol });
    wire.emit('sslconnect');
    wire.stream.emit('secureConnect');
  };
  const answered = (...answers: string[]) => {
    for (const answer of answers) wire.stream.emit('data', Buffer.from(answer));
  };
  return { wire, refused, hosts, secured, answered };
}

describe('verifyTlsStart', () => {
  it('verifies the certificate for servername, or else for the host', () => {
    for (const [ssl, expected] of [
      [{ servername: 'db.example.com' }, 'db.example.com'],
      [{}, 'localhost'],
      [{ servername: '' }, 'localhost'],
    ] as const) {
      const { wire, hosts } = startTls({ ssl });
      const reported: Error[] = [];
      wire.upgradeToSSL('localhost', (error) => reported.push(error));
      expect([hosts, reported]).toEqual([[expected, true], [new Error('reported')]]);
    }
  });

  it('does nothing to a version of pg without upgradeToSSL', () => {
    const { wire } = startTls({ ssl: { servername: 'db.example.com' }, upgradeToSSL: undefined });
    expect(wire.upgradeToSSL).toBeUndefined();
  });

  it('refuses plain text after the agreement to TLS, before pg reads it', () => {
    const heard: string[] = [];
    const stream = new EventEmitter().on('data', () => heard.push('pg has read it'));
    const { refused, answered } = startTls({ ssl: {}, stream }, (error) => heard.push(error.message));
    answered('SR');
    expect(heard).toEqual([
      'The server sent plain text after it had accepted TLS; an attacker in between may have inserted it.',
      'pg has read it',
    ]);
    expect(refused[0]).toMatchObject({ code: 'TLS_TAMPERED', hint: expect.stringContaining('between') });
  });

  it('leaves an agreement without plain text, a refusal, and an error of the server to pg', () => {
    for (const answers of [['S', 'SR'], ['N'], ['E'], ['Efull']]) {
      const { refused, answered } = startTls({ ssl: {} });
      answered(...answers);
      expect(refused).toEqual([]);
    }
  });

  it('refuses a direct TLS connection whose server does not confirm PostgreSQL by ALPN', () => {
    for (const protocol of [false, 'h2'] as const) {
      const { refused, secured } = startTls({ ssl: {}, sslNegotiation: 'direct' });
      secured(protocol);
      expect(refused).toEqual([
        expect.objectContaining({
          code: 'TLS_DIRECT_REFUSED',
          message: expect.stringContaining('does not confirm'),
          hint: expect.stringContaining('sslnegotiation=direct'),
        }),
      ]);
    }
    const { refused, secured } = startTls({ ssl: {}, sslNegotiation: 'direct' });
    secured('postgresql');
    expect(refused).toEqual([]);
  });

  it('refuses a server that does not speak TLS with NOT_POSTGRESQL, and leaves other errors to pg', () => {
    const failing = (message: string) => {
      const { wire, refused } = startTls({ ssl: {}, sslNegotiation: 'direct' });
      wire.stream = new EventEmitter();
      // `pg` registers its listener before it emits sslconnect.
      wire.stream.on('error', (error: Error) => refused.push(error));
      wire.emit('sslconnect');
      wire.stream.emit('error', new Error(message));
      return refused.map((error) => (error as { code?: string }).code);
    };
    expect(failing('error:0A00010B:SSL routines::wrong version number')).toEqual([
      'NOT_POSTGRESQL',
      undefined,
    ]);
    expect(failing('self-signed certificate')).toEqual([undefined]);
  });

  it('checks for plain text only after an SSLRequest, and for ALPN only with direct TLS', () => {
    const direct = startTls({ ssl: {}, sslNegotiation: 'direct' });
    direct.answered('SR');
    expect(direct.refused).toEqual([]);
    const requested = startTls({ ssl: {} });
    requested.secured(false);
    expect(requested.refused).toEqual([]);
  });

  it('checks nothing without TLS', () => {
    const { wire, refused, secured, answered } = startTls({ ssl: false });
    answered('SR');
    secured(false);
    expect(refused).toEqual([]);
    expect(wire.listenerCount('sslconnect')).toBe(0);
  });
});

describe('assertDirectTls', () => {
  const refused = expect.objectContaining({
    code: 'TLS_DIRECT_REFUSED',
    message: 'This version of pg cannot start TLS directly.',
    hint: expect.stringContaining('pg 8.23'),
  }) as unknown as Error;
  const wire = (sslNegotiation?: string) => ({ stream: {}, on: () => undefined, sslNegotiation });

  it('throws for a version of pg that would send an SSLRequest first', () => {
    expect(() => assertDirectTls('direct', wire())).toThrow(refused);
    expect(() => assertDirectTls('direct', wire('postgres'))).toThrow(refused);
  });

  it('accepts a version of pg that supports direct TLS, and every other sslnegotiation', () => {
    assertDirectTls('direct', wire('direct'));
    assertDirectTls('postgres', wire());
    assertDirectTls(undefined, wire('postgres'));
  });
});

function received(sent: Parameters<typeof verifyFirstByte>[1], ...answers: string[]): unknown[] {
  const stream = new EventEmitter();
  const heard: unknown[] = [];
  stream.on('data', (bytes: Buffer) => heard.push(bytes.toString('latin1')));
  verifyFirstByte(stream as never, sent, (error) => heard.push(error));
  for (const answer of answers) stream.emit('data', Buffer.from(answer, 'latin1'));
  return heard;
}

describe('verifyFirstByte', () => {
  it.each([
    ['startup', ['R', 'E', 'N', 'v']],
    ['ssl', ['S', 'N', 'E']],
  ] as const)('accepts after a request of the kind %s each of %j', (sent, firsts) => {
    for (const first of firsts) expect(received(sent, `${first}...`)).toEqual([`${first}...`]);
  });

  it.each([
    ['startup', ['HTTP/1.1 400 Bad Request', 'S', 'SSH-2.0', '\x16']],
    ['ssl', ['HTTP/1.1 400 Bad Request', 'R', '\x15', '\x4a\x00\x00\x00\x0a8.4.0']],
  ] as const)(
    'refuses after a request of the kind %s the answers of other servers, before pg reads them',
    (sent, others) => {
      for (const other of others)
        expect(received(sent, other)).toEqual([
          expect.objectContaining({
            code: 'NOT_POSTGRESQL',
            message: 'The server at this address is not PostgreSQL.',
            hint: 'Correct host and port.',
          }),
          other,
        ]);
    },
  );

  it('checks only the first answer', () => {
    expect(received('startup', 'R', 'T', 'Z')).toEqual(['R', 'T', 'Z']);
  });
});
