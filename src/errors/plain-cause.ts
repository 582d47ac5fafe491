import { redact } from '../text/masking.js';

/**
 * Copies name, message, stack and code of an error from other code, with credentials masked. Further properties are omitted,
 * because a log prints them: the error of `new URL()` holds the whole URL in `input`.
 */
export function plainCause(error: unknown): Error {
  // Code can throw any value: `Promise.reject()` rejects with undefined.
  const { name, message, stack, code } = (error ?? {}) as Partial<Error> & { code?: unknown };
  const copy = new Error(redact(String(message ?? error)));
  if (name) copy.name = name;
  if (stack) copy.stack = redact(stack);
  return typeof code === 'string' ? Object.assign(copy, { code }) : copy;
}
