import { describe, expect, it } from '@jest/globals';
import { StatementFacts } from '../statements/statement-texts.js';
import { AnswerClock } from './answer-clock.js';
import type { ClockReading } from './answer-clock.js';
import { StatementTimings } from './statement-timings.js';

const facts = () => new StatementFacts('SELECT id FROM item WHERE id = $1');

/** Measures statements without waiting. */
class FakeClock extends AnswerClock {
  #at = 0;
  /** The part of the last wait in which the event loop was busy; milliseconds. */
  busyMs = 0;
  /** Whether other statements are answered all the time. */
  isAnsweringOthers = true;

  wait(ms: number): void {
    this.#at += ms;
  }
  override read(): ClockReading {
    return { at: this.#at, idleMs: 0 };
  }
  override missingMs(since: ClockReading): number {
    return this.#at - since.at - this.busyMs;
  }
  override othersAnsweredMs(since: ClockReading): number {
    return this.isAnsweringOthers ? this.#at - since.at : 0;
  }
}

function recordMany(timings: StatementTimings, text: StatementFacts, count: number, ms: number): void {
  for (let sample = 0; sample < count; sample += 1) {
    const sent = timings.clock.read();
    (timings.clock as FakeClock).wait(ms);
    timings.recordAlone(text, sent, 100);
  }
}

describe('The timings of a pool', () => {
  it('subtract the round trip, so that a slow network keeps no text from being shared', () => {
    const timings = new StatementTimings({ maxMeanMs: 5 }, new FakeClock());
    const text = facts();
    recordMany(timings, text, 100, 20);
    expect(timings.roundTripMs).toBe(20);
    expect(timings.notShareableReason(text)).toBeUndefined();
    const slow = facts();
    recordMany(timings, slow, 100, 26);
    expect(timings.notShareableReason(slow)).toBe('slow');
  });

  it('follow a network that becomes slower, after two generations of samples', () => {
    const timings = new StatementTimings({ maxMeanMs: 5 }, new FakeClock());
    const text = facts();
    recordMany(timings, text, 100, 1);
    recordMany(timings, text, 100, 40);
    expect(timings.roundTripMs).toBe(1);
    expect(timings.notShareableReason(text)).toBe('slow');
    recordMany(timings, text, 600, 40);
    expect(timings.roundTripMs).toBe(40);
    expect(timings.notShareableReason(text)).toBeUndefined();
  });

  it('do not count the time in which the app was busy and the answer may have lain in the socket', () => {
    const clock = new FakeClock();
    const timings = new StatementTimings({ maxMeanMs: 5 }, clock);
    const text = facts();
    recordMany(timings, text, 10, 1);
    clock.busyMs = 99;
    recordMany(timings, text, 10, 100);
    expect(timings.notShareableReason(text)).toBeUndefined();
    clock.busyMs = 0;
    recordMany(timings, text, 1, 100);
    expect(timings.notShareableReason(text)).toBe('slow');
  });

  it('do not blame a text for a pause in which the server has answered no other statement either, unless it is long', () => {
    const clock = new FakeClock();
    const timings = new StatementTimings({ maxMeanMs: 5 }, clock);
    const text = facts();
    recordMany(timings, text, 10, 1);
    clock.isAnsweringOthers = false;
    recordMany(timings, text, 10, 100);
    expect(timings.notShareableReason(text)).toBeUndefined();
    recordMany(timings, text, 1, 300);
    expect(timings.notShareableReason(text)).toBe('slow');
  });

  it('say why a text is not shared', () => {
    const timings = new StatementTimings({ maxMeanMs: 5 }, new FakeClock());
    expect(timings.roundTripMs).toBe(0);
    expect(timings.notShareableReason(facts())).toBe('unknown');
    expect(timings.notShareableReason(new StatementFacts('UPDATE item SET id = $1'))).toBe('not-plain');
    expect(timings.notShareableReason(new StatementFacts("SELECT set_config('a.b', $1, false)"))).toBe(
      'not-plain',
    );
  });
});
