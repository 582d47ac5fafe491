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

function begin(settings: Settings, told: (error: Error) => void = () => undefined) {
  const refused: Error[] = [];
  const hosts: unknown[] = [];
  const wire = Object.assign(new EventEmitter(), {
    stream: new EventEmitter(),
    upgradeToSSL(this: unknown, host: string | undefined, report: (error: Error) => void) {
      hosts.push(host, this === wire);
      report(new Error('told'));
    },
    ...settings,
  });
  verifyTlsStart(wire, (error) => {
    refused.push(error);
    told(error);
  });
  /** The handshake of TLS is done, with this protocol inside. */
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

describe('where TLS begins', () => {
  it('the certificate is asked for by the name that was given, else by that of the host', () => {
    for (const [ssl, expected] of [
      [{ servername: 'db.example.com' }, 'db.example.com'],
      [{}, 'localhost'],
      [{ servername: '' }, 'localhost'],
    ] as const) {
      const { wire, hosts } = begin({ ssl });
      const told: Error[] = [];
      wire.upgradeToSSL('localhost', (error) => told.push(error));
      expect([hosts, told]).toEqual([[expected, true], [new Error('told')]]);
    }
  });

  it('a version of pg that upgrades in another way is left alone', () => {
    const { wire } = begin({ ssl: { servername: 'db.example.com' }, upgradeToSSL: undefined });
    expect(wire.upgradeToSSL).toBeUndefined();
  });

  it('plain text behind the promise of it is refused, before pg reads it', () => {
    const heard: string[] = [];
    const stream = new EventEmitter().on('data', () => heard.push('pg has read it'));
    const { refused, answered } = begin({ ssl: {}, stream }, (error) => heard.push(error.message));
    answered('SR');
    expect(heard).toEqual([
      'The server sent plain text after it had accepted TLS; something in between may have inserted it.',
      'pg has read it',
    ]);
    expect(refused[0]).toMatchObject({ code: 'TLS_TAMPERED', hint: expect.stringContaining('between') });
  });

  it('the promise alone, a refusal and the error of a server are left to pg, as all that comes later', () => {
    for (const answers of [['S', 'SR'], ['N'], ['E'], ['Efull']]) {
      const { refused, answered } = begin({ ssl: {} });
      answered(...answers);
      expect(refused).toEqual([]);
    }
  });

  it('at once, the other side has to confirm that it speaks PostgreSQL', () => {
    for (const protocol of [false, 'h2'] as const) {
      const { refused, secured } = begin({ ssl: {}, sslNegotiation: 'direct' });
      secured(protocol);
      expect(refused).toEqual([
        expect.objectContaining({
          code: 'TLS_DIRECT_REFUSED',
          message: expect.stringContaining('does not confirm'),
          hint: expect.stringContaining('sslnegotiation=direct'),
        }),
      ]);
    }
    const { refused, secured } = begin({ ssl: {}, sslNegotiation: 'direct' });
    secured('postgresql');
    expect(refused).toEqual([]);
  });

  it('at once, what does not speak it is not PostgreSQL, and pg hears so; other errors are left to it', () => {
    const failing = (message: string) => {
      const { wire, refused } = begin({ ssl: {}, sslNegotiation: 'direct' });
      wire.stream = new EventEmitter();
      // As `pg` does, before it tells that TLS begins.
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

  it('at once, no answer in plain text is looked at, and after a promise no protocol inside', () => {
    const direct = begin({ ssl: {}, sslNegotiation: 'direct' });
    direct.answered('SR');
    expect(direct.refused).toEqual([]);
    const promised = begin({ ssl: {} });
    promised.secured(false);
    expect(promised.refused).toEqual([]);
  });

  it('nothing is looked at where there is no TLS', () => {
    const { wire, refused, secured, answered } = begin({ ssl: false });
    answered('SR');
    secured(false);
    expect(refused).toEqual([]);
    expect(wire.listenerCount('sslconnect')).toBe(0);
  });
});

describe('TLS that is to begin at once', () => {
  const refused = expect.objectContaining({
    code: 'TLS_DIRECT_REFUSED',
    message: 'This version of pg cannot start TLS directly.',
    hint: expect.stringContaining('pg 8.23'),
  }) as unknown as Error;
  const wire = (sslNegotiation?: string) => ({ stream: {}, on: () => undefined, sslNegotiation });

  it('is refused by a version of pg that would ask in plain text first', () => {
    expect(() => assertDirectTls('direct', wire())).toThrow(refused);
    expect(() => assertDirectTls('direct', wire('postgres'))).toThrow(refused);
  });

  it('is taken by one that can, and nothing else is demanded', () => {
    assertDirectTls('direct', wire('direct'));
    assertDirectTls('postgres', wire());
    assertDirectTls(undefined, wire('postgres'));
  });
});

function greeted(sent: Parameters<typeof verifyFirstByte>[1], ...answers: string[]): unknown[] {
  const stream = new EventEmitter();
  const heard: unknown[] = [];
  stream.on('data', (bytes: Buffer) => heard.push(bytes.toString('latin1')));
  verifyFirstByte(stream as never, sent, (error) => heard.push(error));
  for (const answer of answers) stream.emit('data', Buffer.from(answer, 'latin1'));
  return heard;
}

describe('what a server answers first', () => {
  it.each([
    ['startup', ['R', 'E', 'N', 'v']],
    ['ssl', ['S', 'N', 'E']],
  ] as const)('to %s is one of %j', (sent, firsts) => {
    for (const first of firsts) expect(greeted(sent, `${first}...`)).toEqual([`${first}...`]);
  });

  it.each([
    ['startup', ['HTTP/1.1 400 Bad Request', 'S', 'SSH-2.0', '\x16']],
    ['ssl', ['HTTP/1.1 400 Bad Request', 'R', '\x15', '\x4a\x00\x00\x00\x0a8.4.0']],
  ] as const)('to %s is not what other servers say, which pg is not to read', (sent, others) => {
    for (const other of others)
      expect(greeted(sent, other)).toEqual([
        expect.objectContaining({
          code: 'NOT_POSTGRESQL',
          message: 'The server at this address is not PostgreSQL.',
          hint: 'Correct host and port.',
        }),
        other,
      ]);
  });

  it('is looked at once: what follows may begin with anything', () => {
    expect(greeted('startup', 'R', 'T', 'Z')).toEqual(['R', 'T', 'Z']);
  });
});
