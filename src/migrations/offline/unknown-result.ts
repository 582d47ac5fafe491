import { INSPECT } from '../../text/masking.js';

/**
 * The result of a statement that is not executed. It may be awaited, returned, ignored and logged. Any other use calls `refuse`, which
 * throws: code that decides by the result would decide by nothing.
 */
export function unknownResult(refuse: () => never): unknown {
  const target = Object.assign([], { [INSPECT]: () => '[the result of a statement that was not executed]' });
  // What `await`, `Promise.resolve()` and loggers read of any value.
  const harmless = new Set<PropertyKey>(['then', Symbol.toStringTag, INSPECT]);
  return new Proxy(target, {
    get: (_target, key) => (harmless.has(key) ? (Reflect.get(target, key) as unknown) : refuse()),
    has: refuse,
    set: refuse,
    deleteProperty: refuse,
    ownKeys: refuse,
    getOwnPropertyDescriptor: refuse,
    defineProperty: refuse,
  });
}

/** Refuses the use of `affected`, which TypeORM has copied into the result of an update or a delete. */
export function refuseAffected(result: unknown, refuse: () => never): unknown {
  if (typeof result === 'object' && result !== null && Object.hasOwn(result, 'affected'))
    Object.defineProperty(result, 'affected', { get: refuse, enumerable: false });
  return result;
}
