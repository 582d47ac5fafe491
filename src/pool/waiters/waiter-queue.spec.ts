import { beforeEach, describe, expect, it, jest } from '@jest/globals';
import { Waiter, WaiterQueue } from './waiter-queue.js';
import type { CancelSignal } from './waiter-queue.js';

/** A signal whose listeners can be counted. */
class Signal implements CancelSignal {
  aborted = false;
  reason: unknown = 'gone';
  readonly listeners = new Set<() => void>();
  addEventListener(event: 'abort', listener: () => void): void {
    expect(event).toBe('abort');
    this.listeners.add(listener);
  }
  removeEventListener(event: 'abort', listener: () => void): void {
    expect(event).toBe('abort');
    this.listeners.delete(listener);
  }
  abort(): void {
    for (const listener of [...this.listeners]) listener();
  }
}

const ignore = () => undefined;

function waiter(deadline = Infinity, signal?: CancelSignal): Waiter<string> {
  return new Waiter<string>({ signal }, undefined, 0, deadline, ignore, ignore);
}

const onAbort = jest.fn<(waiter: Waiter<string>, reason: unknown) => void>();
let queue: WaiterQueue<string>;
beforeEach(() => {
  onAbort.mockReset();
  queue = new WaiterQueue(onAbort);
});

function add(...waiters: Waiter<string>[]): void {
  for (const one of waiters) queue.add(one);
}

describe('WaiterQueue', () => {
  it('keeps the order in which waiters were added, and removes them from any position', () => {
    const [a, b, c] = [waiter(), waiter(), waiter()];
    add(a, b, c);
    expect([queue.length, queue.first, queue.last, [...queue]]).toEqual([3, a, c, [a, b, c]]);
    queue.remove(b);
    expect([...queue]).toEqual([a, c]);
    queue.remove(a);
    expect([queue.first, queue.last]).toEqual([c, c]);
    queue.remove(c);
    expect([queue.length, queue.first, queue.last]).toEqual([0, undefined, undefined]);
  });

  it('returns the waiters whose deadline has passed, and the next deadline', () => {
    const [a, b, c] = [waiter(10), waiter(20), waiter(30)];
    add(a, b, c);
    expect(queue.overdue(9)).toEqual({ overdue: [], nextDeadline: 10 });
    expect(queue.overdue(20)).toEqual({ overdue: [a, b], nextDeadline: 30 });
    expect(queue.overdue(30)).toEqual({ overdue: [a, b, c], nextDeadline: Infinity });
  });

  it('finds overdue waiters at any position of the queue', () => {
    const [long, short, middle] = [waiter(30), waiter(10), waiter(20)];
    add(long, short, middle);
    expect(queue.overdue(10)).toEqual({ overdue: [short], nextDeadline: 20 });
    expect(queue.overdue(25)).toEqual({ overdue: [short, middle], nextDeadline: 30 });
  });

  it('reads only the first deadlines when the queue is in the order of its deadlines', () => {
    const countReads = (...deadlines: number[]): number => {
      let reads = 0;
      const all = deadlines.map((deadline) => {
        const one = waiter(deadline);
        Object.defineProperty(one, 'deadline', { get: () => ((reads += 1), deadline) });
        return one;
      });
      add(...all);
      reads = 0;
      queue.overdue(0);
      for (const one of all) queue.remove(one);
      return reads;
    };
    const ordered = countReads(10, 10, 20, 30, 40, 50);
    const disordered = countReads(50, 40, 30, 20, 10, 5);
    expect(ordered).toBeLessThan(4);
    expect(disordered).toBeGreaterThan(5);
    // An empty queue counts as ordered again.
    expect(countReads(10, 10, 20, 30, 40, 50)).toBe(ordered);
  });

  it('shares one listener per signal, and removes it with the last waiter of the signal', () => {
    const signal = new Signal();
    const [a, b, alone] = [waiter(1, signal), waiter(2, signal), waiter(3)];
    add(a, b, alone);
    expect(signal.listeners.size).toBe(1);
    queue.remove(a);
    queue.remove(alone);
    expect(signal.listeners.size).toBe(1);
    queue.remove(b);
    expect(signal.listeners.size).toBe(0);
    const again = waiter(1, signal);
    add(again);
    signal.abort();
    expect(onAbort.mock.calls).toEqual([[again, 'gone']]);
  });

  it('reports every waiter of a signal that aborts, and no waiter of another signal', () => {
    const [signal, other] = [new Signal(), new Signal()];
    const [a, b, c] = [waiter(1, signal), waiter(2, other), waiter(3, signal)];
    add(a, b, c);
    onAbort.mockImplementation((one) => queue.remove(one));
    signal.abort();
    expect(onAbort.mock.calls).toEqual([
      [a, 'gone'],
      [c, 'gone'],
    ]);
    expect([...queue]).toEqual([b]);
    expect([signal.listeners.size, other.listeners.size]).toEqual([0, 1]);
  });

  it('throws for an invalid signal, and does not add the waiter', () => {
    // A common mistake: the controller instead of its signal.
    const controller = new AbortController() as unknown as CancelSignal;
    expect(() => queue.add(waiter(Infinity, controller))).toThrow(TypeError);
    expect(queue.length).toBe(0);
  });
});
