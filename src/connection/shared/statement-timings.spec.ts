import { describe, expect, it } from '@jest/globals';
import { StatementFacts } from '../statements/statement-texts.js';
import { StatementTimings } from './statement-timings.js';

const facts = () => new StatementFacts('SELECT id FROM item WHERE id = $1');

function recordMany(timings: StatementTimings, text: StatementFacts, count: number, ms: number): void {
  for (let sample = 0; sample < count; sample += 1) timings.recordAlone(text, ms, 100);
}

describe('The timings of a pool', () => {
  it('subtract the round trip, so that a slow network keeps no text from being shared', () => {
    const timings = new StatementTimings({ maxMeanMs: 5 });
    const text = facts();
    recordMany(timings, text, 100, 20);
    expect(timings.roundTripMs).toBe(20);
    expect(timings.notShareableReason(text)).toBeUndefined();
    const slow = facts();
    recordMany(timings, slow, 100, 26);
    expect(timings.notShareableReason(slow)).toBe('slow');
  });

  it('follow a network that becomes slower, after two generations of samples', () => {
    const timings = new StatementTimings({ maxMeanMs: 5 });
    const text = facts();
    recordMany(timings, text, 100, 1);
    recordMany(timings, text, 100, 40);
    expect(timings.roundTripMs).toBe(1);
    expect(timings.notShareableReason(text)).toBe('slow');
    recordMany(timings, text, 600, 40);
    expect(timings.roundTripMs).toBe(40);
    expect(timings.notShareableReason(text)).toBeUndefined();
  });

  it('say why a text is not shared', () => {
    const timings = new StatementTimings({ maxMeanMs: 5 });
    expect(timings.roundTripMs).toBe(0);
    expect(timings.notShareableReason(facts())).toBe('unknown');
    expect(timings.notShareableReason(new StatementFacts('UPDATE item SET id = $1'))).toBe('not-plain');
    expect(timings.notShareableReason(new StatementFacts("SELECT set_config('a.b', $1, false)"))).toBe(
      'not-plain',
    );
  });
});
