import { beforeEach, describe, expect, it, jest } from '@jest/globals';
import { VirtualClock, flushPromises } from '../../../test/support/virtual-clock.js';
import { Notifier } from './notifier.js';

let clock: VirtualClock;
let notifier: Notifier;
beforeEach(() => {
  clock = new VirtualClock();
  notifier = new Notifier(clock);
});

function waitFor(timeoutMs?: number): jest.Mock {
  const resolved = jest.fn();
  void notifier.wait(timeoutMs).then(resolved);
  return resolved;
}

describe('Notifier', () => {
  it('wakes every caller of wait(), and leaves no timer', async () => {
    const waiting = [waitFor(), waitFor(1_000)];
    await clock.advance(999);
    expect(waiting.map(({ mock }) => mock.calls.length)).toEqual([0, 0]);
    notifier.notifyAll();
    await flushPromises();
    expect(waiting.map(({ mock }) => mock.calls.length)).toEqual([1, 1]);
    expect(clock.timerCount).toBe(0);
  });

  it('ends a wait at its timeout, with a timer that keeps the process alive', async () => {
    const [limited, patient] = [waitFor(1_000), waitFor()];
    expect([clock.timerCount, clock.keepAliveCount]).toEqual([1, 1]);
    await clock.advance(1_000);
    expect([limited, patient].map(({ mock }) => mock.calls.length)).toEqual([1, 0]);
    notifier.notifyAll();
    await flushPromises();
    expect(patient).toHaveBeenCalledTimes(1);
  });

  it('wakes only the callers that wait at that time', async () => {
    notifier.notifyAll();
    const late = waitFor();
    await flushPromises();
    expect(late).not.toHaveBeenCalled();
    notifier.notifyAll();
    await flushPromises();
    expect(late).toHaveBeenCalledTimes(1);
  });
});
