import { beforeEach, describe, expect, it, jest } from '@jest/globals';
import { VirtualClock, settled } from '../../../test/support/virtual-clock.js';
import { Notifier } from './notifier.js';

let clock: VirtualClock;
let moment: Notifier;
beforeEach(() => {
  clock = new VirtualClock();
  moment = new Notifier(clock);
});

function waitingFor(timeoutMs?: number): jest.Mock {
  const gone = jest.fn();
  void moment.wait(timeoutMs).then(gone);
  return gone;
}

describe('a moment', () => {
  it('lets all go who wait when it comes, and leaves no timer', async () => {
    const waiting = [waitingFor(), waitingFor(1_000)];
    await clock.pass(999);
    expect(waiting.map(({ mock }) => mock.calls.length)).toEqual([0, 0]);
    moment.notifyAll();
    await settled();
    expect(waiting.map(({ mock }) => mock.calls.length)).toEqual([1, 1]);
    expect(clock.timers).toBe(0);
  });

  it('is not waited for longer than was said, by a timer that holds the process', async () => {
    const [limited, patient] = [waitingFor(1_000), waitingFor()];
    expect([clock.timers, clock.holding]).toEqual([1, 1]);
    await clock.pass(1_000);
    expect([limited, patient].map(({ mock }) => mock.calls.length)).toEqual([1, 0]);
    moment.notifyAll();
    await settled();
    expect(patient).toHaveBeenCalledTimes(1);
  });

  it('comes for those who wait then, and again for who comes later', async () => {
    moment.notifyAll();
    const late = waitingFor();
    await settled();
    expect(late).not.toHaveBeenCalled();
    moment.notifyAll();
    await settled();
    expect(late).toHaveBeenCalledTimes(1);
  });
});
