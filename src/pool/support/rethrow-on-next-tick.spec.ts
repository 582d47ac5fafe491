import { expect, it, jest } from '@jest/globals';
import { rethrowOnNextTick } from './rethrow-on-next-tick.js';

it('rethrowOnNextTick() returns, and throws the error on the next tick', () => {
  const thrown = new Error('from a hook');
  const nextTick = jest.spyOn(process, 'nextTick').mockImplementation(() => undefined);
  rethrowOnNextTick(thrown);
  const [callback] = nextTick.mock.calls[0] as [() => void];
  nextTick.mockRestore();
  expect(callback).toThrow(thrown);
});
