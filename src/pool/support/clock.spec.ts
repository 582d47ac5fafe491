import { AsyncLocalStorage } from 'node:async_hooks';
import { beforeEach, describe, expect, it, jest } from '@jest/globals';
import { VirtualClock } from '../../../test/support/virtual-clock.js';
import { Scheduler, systemClock } from './clock.js';

describe('an alarm', () => {
  let clock: VirtualClock;
  let ring: jest.Mock<() => void>;
  let alarm: Scheduler;
  beforeEach(() => {
    clock = new VirtualClock();
    ring = jest.fn<() => void>();
    alarm = new Scheduler(clock, ring, true);
  });

  it('rings once, at the earliest of its due times, by one timer', async () => {
    const now = clock.now();
    alarm.schedule(now + 300);
    alarm.schedule(now + 100);
    alarm.schedule(now + 200);
    expect(clock.timers).toBe(1);
    await clock.pass(99);
    expect(ring).not.toHaveBeenCalled();
    await clock.pass(1);
    expect(ring).toHaveBeenCalledTimes(1);
    await clock.pass(1_000);
    expect(ring).toHaveBeenCalledTimes(1);
    expect(clock.timers).toBe(0);
  });

  it('is set anew after it has rung, also to a time later than before and by who is woken', async () => {
    const now = clock.now();
    ring.mockImplementationOnce(() => alarm.schedule(now + 500));
    alarm.schedule(now + 100);
    await clock.pass(100);
    expect(clock.timers).toBe(1);
    await clock.pass(400);
    expect(ring).toHaveBeenCalledTimes(2);
  });

  it('rings in the flow of calls in which it was made, and not in that of who has set it', async () => {
    const flow = new AsyncLocalStorage<string>();
    const heard = new Promise((resolve) => {
      const made = flow.run(
        'the pool',
        () => new Scheduler(systemClock, () => resolve(flow.getStore()), true),
      );
      flow.run('a borrower', () => made.schedule(systemClock.now()));
    });
    expect(await heard).toBe('the pool');
  });

  it('says nothing once it is silenced, and can be set to a later time then', async () => {
    const now = clock.now();
    alarm.schedule(now + 100);
    alarm.cancel();
    expect(clock.timers).toBe(0);
    alarm.schedule(now + 200);
    await clock.pass(199);
    expect(ring).not.toHaveBeenCalled();
    await clock.pass(1);
    expect(ring).toHaveBeenCalledTimes(1);
  });

  it('has no timer for never', () => {
    alarm.schedule(Infinity);
    expect(clock.timers).toBe(0);
  });

  it('asks the clock for whole milliseconds, none of them negative, and no more than a timer of Node can wait', () => {
    const after = jest.spyOn(clock, 'after');
    alarm.schedule(clock.now() + 2 ** 40);
    alarm.schedule(clock.now() + 0.1);
    alarm.schedule(clock.now() - 5_000);
    expect(after.mock.calls.map(([ms]) => ms)).toEqual([2 ** 31 - 1, 1, 0]);
  });

  it.each([true, false])('holds the process: %s, as it was told', (holdsProcess) => {
    new Scheduler(clock, ring, holdsProcess).schedule(clock.now() + 1);
    expect(clock.holding).toBe(holdsProcess ? 1 : 0);
  });
});

describe('the clock of the system', () => {
  it('has one time that never goes back and one that is the time of day', () => {
    expect(Math.abs(systemClock.now() - performance.now())).toBeLessThan(1_000);
    expect(Math.abs(systemClock.wall() - Date.now())).toBeLessThan(1_000);
  });

  it('rings after the time that it was told, and not when that is taken back', async () => {
    const taken = jest.fn();
    systemClock.after(1, taken, true)();
    await new Promise<void>((resolve) => void systemClock.after(5, resolve, true));
    expect(taken).not.toHaveBeenCalled();
  });
});
