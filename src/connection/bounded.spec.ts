import { describe, expect, it } from '@jest/globals';
import { bounded } from './bounded.js';

const late = () => new Error('late');

describe('bounded work', () => {
  it('settles as the work does', async () => {
    expect(await bounded(Promise.resolve(1), 1_000, late)).toBe(1);
    await expect(bounded(Promise.reject(new Error('own')), 1_000, late)).rejects.toThrow('own');
  });

  it('fails when its time is over', async () => {
    await expect(bounded(new Promise(() => undefined), 5, late)).rejects.toThrow('late');
  });

  it('takes an answer that was there already when the event loop had been blocked', async () => {
    const answered = new Promise((resolve) => setTimeout(() => setImmediate(resolve, 'in time'), 10));
    const work = bounded(answered, 10, late);
    const until = performance.now() + 50;
    while (performance.now() < until);
    expect(await work).toBe('in time');
  });
});
