import { setImmediate as turn, setTimeout as sleep } from 'node:timers/promises';
import { describe, expect, it } from '@jest/globals';
import { AnswerClock } from './answer-clock.js';

function compute(ms: number): void {
  const until = performance.now() + ms;
  while (performance.now() < until);
}

describe('The answer clock', () => {
  it('counts the time in which the event loop has waited for events', async () => {
    const clock = new AnswerClock();
    const sent = clock.read();
    await sleep(200);
    expect(clock.missingMs(sent)).toBeGreaterThan(40);
  });

  it('does not count the time in which the app was busy and has read no socket', async () => {
    const clock = new AnswerClock();
    const sent = clock.read();
    compute(50);
    await turn();
    expect(clock.missingMs(sent)).toBeLessThan(25);
  });

  it('counts busy time up to the last turn in which another answer was read', async () => {
    const clock = new AnswerClock();
    const sent = clock.read();
    compute(50);
    clock.onAnswer();
    // This turn reads its other sockets after that.
    expect(clock.missingMs(sent)).toBeLessThan(25);
    await turn();
    expect(clock.missingMs(sent)).toBeGreaterThanOrEqual(50);
  });
});
