import { describe, expect, it, jest } from '@jest/globals';
import { OnDemand } from './on-demand.js';

describe('a promise on demand', () => {
  it('starts its work when it is first awaited, and only once', async () => {
    const start = jest.fn(() => Promise.resolve('done'));
    const promise = new OnDemand(start);
    await Promise.resolve();
    expect(start).not.toHaveBeenCalled();
    expect([await promise, await promise]).toEqual(['done', 'done']);
    expect(start).toHaveBeenCalledTimes(1);
  });

  it('is a promise for code that checks it, as Nest does', () => {
    expect(new OnDemand(() => Promise.resolve())).toBeInstanceOf(Promise);
  });

  it('rejects with the failure of its work', async () => {
    const promise = new OnDemand(() => Promise.reject(new Error('not installed')));
    await expect(promise).rejects.toThrow('not installed');
    await expect(promise.catch((error: Error) => error.message)).resolves.toBe('not installed');
  });
});
