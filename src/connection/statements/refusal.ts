import { internalsOf } from '../wire/pg-internals.js';

/** A `query`, in all forms of `pg`'s, that fails with the reason for which the connection is gone. */
export function refuseWith(client: object, reason: Error) {
  return (config: unknown, values?: unknown, callback?: unknown): unknown => {
    const submittable = config as {
      submit?: unknown;
      handleError?: (error: Error, wire: unknown) => void;
    };
    if (typeof submittable?.submit === 'function') {
      process.nextTick(() => submittable.handleError?.(reason, internalsOf(client).connection));
      return config;
    }
    const done = [values, callback, (config as { callback?: unknown } | null)?.callback].find(
      (candidate) => typeof candidate === 'function',
    ) as ((error: Error) => void) | undefined;
    if (!done) return Promise.reject(reason);
    process.nextTick(done, reason);
    return undefined;
  };
}

/** From now on every statement of the client fails with `reason`. */
export function refuseFrom(client: object, reason: Error): void {
  Object.defineProperty(client, 'query', {
    value: refuseWith(client, reason),
    writable: true,
    configurable: true,
  });
}
