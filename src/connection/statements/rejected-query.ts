interface Submittable {
  readonly submit: unknown;
  handleError?(error: Error, wire: unknown): void;
}

/** Whether the first argument of `query` is an object that submits itself: a `pg.Query`, a cursor, a stream. */
export function isSubmittable(config: unknown): config is Submittable {
  return typeof (config as { submit?: unknown } | null | undefined)?.submit === 'function';
}

/** The callback in the arguments of `query`. */
export function callbackOf([config, ...rest]: readonly unknown[]): ((error: Error) => void) | undefined {
  return [...rest, (config as { callback?: unknown } | null | undefined)?.callback].find(
    (candidate) => typeof candidate === 'function',
  ) as ((error: Error) => void) | undefined;
}

/**
 * Rejects a call of `query` in the form of its arguments, as `pg` does: through the submittable, the callback, or a promise.
 * @param wire the `Connection` of `pg`, which `handleError` of a submittable expects
 */
export function rejectQuery(request: readonly unknown[], reason: Error, wire: unknown): unknown {
  const [config] = request;
  if (isSubmittable(config)) {
    process.nextTick(() => config.handleError?.(reason, wire));
    return config;
  }
  const callback = callbackOf(request);
  if (!callback) return Promise.reject(reason);
  process.nextTick(callback, reason);
  return undefined;
}
