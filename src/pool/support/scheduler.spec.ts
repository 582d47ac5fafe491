import { AsyncLocalStorage } from 'node:async_hooks';
import { beforeEach, describe, expect, it, jest } from '@jest/globals';
import { VirtualClock } from '../../../test/support/virtual-clock.js';
import { systemClock } from './clock.js';
import { Scheduler } from './scheduler.js';

let clock: VirtualClock;
let callback: jest.Mock<() => void>;
let scheduler: Scheduler;
beforeEach(() => {
  clock = new VirtualClock();
  callback = jest.fn<() => void>();
  scheduler = new Scheduler(clock, callback, true);
});

describe('Scheduler', () => {
  it('calls back once, at the earliest due time, with one timer', async () => {
    const now = clock.now();
    scheduler.schedule(now + 300);
    scheduler.schedule(now + 100);
    scheduler.schedule(now + 200);
    expect(clock.timerCount).toBe(1);
    await clock.advance(99);
    expect(callback).not.toHaveBeenCalled();
    await clock.advance(1);
    expect(callback).toHaveBeenCalledTimes(1);
    await clock.advance(1_000);
    expect(callback).toHaveBeenCalledTimes(1);
    expect(clock.timerCount).toBe(0);
  });

  it('can be scheduled again by its callback, to a later time', async () => {
    const now = clock.now();
    callback.mockImplementationOnce(() => scheduler.schedule(now + 500));
    scheduler.schedule(now + 100);
    await clock.advance(100);
    expect(clock.timerCount).toBe(1);
    await clock.advance(400);
    expect(callback).toHaveBeenCalledTimes(2);
  });

  it('calls back in the async context in which it was made, not in that of the caller of schedule()', async () => {
    const context = new AsyncLocalStorage<string>();
    const seen = new Promise((resolve) => {
      const made = context.run(
        'the pool',
        () => new Scheduler(systemClock, () => resolve(context.getStore()), true),
      );
      context.run('a borrower', () => made.schedule(systemClock.now()));
    });
    expect(await seen).toBe('the pool');
  });

  it('does not call back after cancel(), and can be scheduled to a later time then', async () => {
    const now = clock.now();
    scheduler.schedule(now + 100);
    scheduler.cancel();
    expect(clock.timerCount).toBe(0);
    scheduler.schedule(now + 200);
    await clock.advance(199);
    expect(callback).not.toHaveBeenCalled();
    await clock.advance(1);
    expect(callback).toHaveBeenCalledTimes(1);
  });

  it('sets no timer for Infinity', () => {
    scheduler.schedule(Infinity);
    expect(clock.timerCount).toBe(0);
  });

  it('asks the clock for whole milliseconds, never negative, and at most the longest timer of Node', () => {
    const after = jest.spyOn(clock, 'after');
    scheduler.schedule(clock.now() + 2 ** 40);
    scheduler.schedule(clock.now() + 0.1);
    scheduler.schedule(clock.now() - 5_000);
    expect(after.mock.calls.map(([ms]) => ms)).toEqual([2 ** 31 - 1, 1, 0]);
  });

  it.each([true, false])('keeps the process alive if its option says so: %s', (keepsProcessAlive) => {
    new Scheduler(clock, callback, keepsProcessAlive).schedule(clock.now() + 1);
    expect(clock.keepAliveCount).toBe(keepsProcessAlive ? 1 : 0);
  });
});
