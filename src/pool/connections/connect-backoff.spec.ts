import { beforeEach, describe, expect, it } from '@jest/globals';
import { VirtualClock } from '../../../test/support/virtual-clock.js';
import { ConnectBackoff } from './connect-backoff.js';

let clock: VirtualClock;
let backoff: ConnectBackoff;
beforeEach(() => {
  clock = new VirtualClock();
  backoff = new ConnectBackoff(clock);
});

describe('ConnectBackoff', () => {
  it('delays no connect before the first failure, however many are running', () => {
    expect([backoff.nextConnectAt(0), backoff.nextConnectAt(7)]).toEqual([-Infinity, -Infinity]);
  });

  it('doubles the delay with each failure, from 10 ms to one second', async () => {
    const delays: number[] = [];
    for (let failure = 0; failure < 9; failure += 1) {
      backoff.recordFailure(new Error(`failure ${failure}`), Infinity);
      delays.push(backoff.nextConnectAt(0) - clock.now());
      await clock.advance(5_000);
    }
    expect(delays).toEqual([10, 20, 40, 80, 160, 320, 640, 1_000, 1_000]);
    expect(backoff.lastError?.message).toBe('failure 8');
  });

  it('allows one running connect after a failure, and another one for each second that it takes', () => {
    backoff.recordFailure(new Error('refused'), Infinity);
    backoff.recordStart();
    expect(backoff.nextConnectAt(1)).toBe(clock.now() + 1_000);
    expect(backoff.nextConnectAt(0)).toBe(clock.now() + 10);
  });

  it('starts again at 10 ms after a success', () => {
    for (let failure = 0; failure < 5; failure += 1) backoff.recordFailure(new Error('refused'), Infinity);
    backoff.recordSuccess();
    expect(backoff.lastError).toBeUndefined();
    expect([backoff.nextConnectAt(0), backoff.nextConnectAt(3)]).toEqual([-Infinity, -Infinity]);
    backoff.recordFailure(new Error('refused'), Infinity);
    expect(backoff.nextConnectAt(0)).toBe(clock.now() + 10);
  });
});
