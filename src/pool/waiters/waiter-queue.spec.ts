import { beforeEach, describe, expect, it, jest } from '@jest/globals';
import { WaiterQueue } from './waiter-queue.js';
import type { CancelSignal, Waiter } from './waiter-queue.js';

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

function waiter(deadline = Infinity, signal?: CancelSignal): Waiter<string> {
  return {
    request: { signal },
    since: 0,
    deadline,
    site: {},
    resolve: () => undefined,
    reject: () => undefined,
    previous: undefined,
    next: undefined,
  };
}

const aborted = jest.fn<(waiter: Waiter<string>, reason: unknown) => void>();
let queue: WaiterQueue<string>;
beforeEach(() => {
  aborted.mockReset();
  queue = new WaiterQueue(aborted);
});

function add(...waiters: Waiter<string>[]): void {
  for (const one of waiters) queue.add(one);
}

describe('those who wait', () => {
  it('stand in the order in which they came, and leave from any place', () => {
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

  it('are late from their deadline on, the next one being told', () => {
    const [a, b, c] = [waiter(10), waiter(20), waiter(30)];
    add(a, b, c);
    expect(queue.overdue(9)).toEqual({ late: [], next: 10 });
    expect(queue.overdue(20)).toEqual({ late: [a, b], next: 30 });
    expect(queue.overdue(30)).toEqual({ late: [a, b, c], next: Infinity });
  });

  it('are found late wherever they stand', () => {
    const [long, short, middle] = [waiter(30), waiter(10), waiter(20)];
    add(long, short, middle);
    expect(queue.overdue(10)).toEqual({ late: [short], next: 20 });
    expect(queue.overdue(25)).toEqual({ late: [short, middle], next: 30 });
  });

  it('are not all looked at when they stand in the order of their deadlines', () => {
    const look = (...deadlines: number[]): number => {
      let looks = 0;
      const all = deadlines.map((deadline) => {
        const one = waiter(deadline);
        Object.defineProperty(one, 'deadline', { get: () => ((looks += 1), deadline) });
        return one;
      });
      add(...all);
      looks = 0;
      queue.overdue(0);
      for (const one of all) queue.remove(one);
      return looks;
    };
    const ordered = look(10, 10, 20, 30, 40, 50);
    const disordered = look(50, 40, 30, 20, 10, 5);
    expect(ordered).toBeLessThan(4);
    expect(disordered).toBeGreaterThan(5);
    // An empty queue is in order again.
    expect(look(10, 10, 20, 30, 40, 50)).toBe(ordered);
  });

  it('share the listener of a signal, which is taken away with the last of them', () => {
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
    expect(aborted.mock.calls).toEqual([[again, 'gone']]);
  });

  it('are all told when their signal is aborted, and those of another one are not', () => {
    const [signal, other] = [new Signal(), new Signal()];
    const [a, b, c] = [waiter(1, signal), waiter(2, other), waiter(3, signal)];
    add(a, b, c);
    aborted.mockImplementation((one) => queue.remove(one));
    signal.abort();
    expect(aborted.mock.calls).toEqual([
      [a, 'gone'],
      [c, 'gone'],
    ]);
    expect([...queue]).toEqual([b]);
    expect([signal.listeners.size, other.listeners.size]).toEqual([0, 1]);
  });

  it('takes no waiter whose signal is none, which would be served with no caller left', () => {
    // The controller in place of its signal.
    const controller = new AbortController() as unknown as CancelSignal;
    expect(() => queue.add(waiter(Infinity, controller))).toThrow(TypeError);
    expect(queue.length).toBe(0);
  });
});
