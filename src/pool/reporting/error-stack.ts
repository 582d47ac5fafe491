import { PoolSelfDeadlockError } from '../../errors/pool.errors.js';
import { callSite, setStackFrom } from '../../text/call-site.js';

/**
 * Rethrows the error of a waiter with the stack of the code that awaits it. A stack that is captured when the waiter is added would
 * cost more than the wait; here the frames of the awaiting functions cost nothing until an acquire fails.
 * @example return new Promise(wait).catch(rethrowWithStack);
 */
export function rethrowWithStack(error: Error): never {
  // A hook may throw anything. `instanceof Error` is false for an error of another realm, such as a test framework's.
  if (Object.isExtensible(error)) setStackFrom(error, callSite(rethrowWithStack), holderFrames(error));
  throw error;
}

function holderFrames(error: Error): string {
  const stack = error instanceof PoolSelfDeadlockError ? error.holderStack : undefined;
  return stack === undefined ? '' : `\nThe connection that it holds was acquired\n${stack}`;
}
