import { PassThrough } from 'node:stream';
import { describe, expect, it } from '@jest/globals';
import { askerFor } from './question.js';

/** A terminal on which somebody types. */
function terminal() {
  const stdin = Object.assign(new PassThrough(), { isTTY: true, setRawMode: () => undefined });
  const stderr = Object.assign(new PassThrough(), { isTTY: true });
  const streams = { stdin, stderr } as unknown as Pick<typeof process, 'stdin' | 'stderr'>;
  return { stdin, ask: askerFor({ write: () => true, isTTY: true }, streams)! };
}

describe('A question on the terminal', () => {
  it.each([
    ['y\r', true],
    ['Yes\r', true],
    ['n\r', false],
    ['\r', false],
    // Ctrl-C, Ctrl-D
    ['\u0003', false],
    ['\u0004', false],
  ])('that is answered by %j is %s', async (typed, expected) => {
    const { stdin, ask } = terminal();
    const answer = ask('Write it?');
    stdin.write(typed);
    expect(await answer).toBe(expected);
  });

  it('is answered with no by the end of the input', async () => {
    const { stdin, ask } = terminal();
    const answer = ask('Write it?');
    stdin.end();
    expect(await answer).toBe(false);
  });

  it('is not asked where nobody can answer', () => {
    expect(askerFor({ write: () => true, isTTY: false })).toBeUndefined();
  });
});
