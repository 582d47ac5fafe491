import { redact } from '../text/masking.js';

/**
 * A copy of an error of other code with its name, message, stack and code, credentials masked. Further properties are left
 * out, because an error is printed with them: that of `new URL()` holds the whole URL in `input`.
 */
export function plainCause(error: unknown): Error {
  // Anything can be thrown: `Promise.reject()` rejects with undefined.
  const { name, message, stack, code } = (error ?? {}) as Partial<Error> & { code?: unknown };
  const copy = new Error(redact(String(message ?? error)));
  if (name) copy.name = name;
  if (stack) copy.stack = redact(stack);
  return typeof code === 'string' ? Object.assign(copy, { code }) : copy;
}
