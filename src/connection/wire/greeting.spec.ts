import { EventEmitter } from 'node:events';
import { describe, expect, it } from '@jest/globals';
import { expectPostgres } from './greeting.js';

function greeted(sent: Parameters<typeof expectPostgres>[1], ...answers: string[]): unknown[] {
  const stream = new EventEmitter();
  const heard: unknown[] = [];
  stream.on('data', (bytes: Buffer) => heard.push(bytes.toString('latin1')));
  expectPostgres(stream as never, sent, (error) => heard.push(error));
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
          message: 'What answers at this address is not PostgreSQL.',
          hint: 'Correct host and port.',
        }),
        other,
      ]);
  });

  it('is looked at once: what follows may begin with anything', () => {
    expect(greeted('startup', 'R', 'T', 'Z')).toEqual(['R', 'T', 'Z']);
  });
});
