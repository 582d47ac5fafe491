import { describe, expect, it, jest } from '@jest/globals';
import { VirtualClock } from '../../../test/support/virtual-clock.js';
import { immediateClock, systemClock } from './clock.js';

describe('systemClock', () => {
  it('has a monotonic time and the time of day', () => {
    expect(Math.abs(systemClock.now() - performance.now())).toBeLessThan(1_000);
    expect(Math.abs(systemClock.wall() - Date.now())).toBeLessThan(1_000);
  });

  it('calls back after the given time, unless the timer was cancelled', async () => {
    const cancelled = jest.fn();
    systemClock.after(1, cancelled, true)();
    await new Promise<void>((resolve) => void systemClock.after(5, resolve, true));
    expect(cancelled).not.toHaveBeenCalled();
  });
});

describe('immediateClock()', () => {
  it('replaces the timers of the system clock, and returns any other clock unchanged', () => {
    const clock = new VirtualClock();
    expect(immediateClock(clock)).toBe(clock);
    expect(immediateClock(systemClock)).toMatchObject({ now: systemClock.now, wall: systemClock.wall });
    expect(immediateClock(systemClock).after).not.toBe(systemClock.after);
  });
});
