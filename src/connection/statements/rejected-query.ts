interface Submittable {
  readonly submit: unknown;
  handleError?(error: Error, wire: unknown): void;
}

/** Whether the first argument of `query` is an object that submits itself: a `pg.Query`, a cursor, a stream. */
export function isSubmittable(config: unknown): config is Submittable {
  return typeof (config as { submit?: unknown } | null | undefined)?.submit === 'function';
}

/** The callback among the arguments of `query`. */
export function callbackOf([config, ...rest]: readonly unknown[]): ((error: Error) => void) | undefined {
  return [...rest, (config as { callback?: unknown } | null | undefined)?.callback].find(
    (candidate) => typeof candidate === 'function',
  ) as ((error: Error) => void) | undefined;
}

/**
 * Answers the arguments of a `query` with an error, in the form in which `pg` answers them: by the submittable, by the
 * callback, or by a promise.
 * @param wire what `pg` hands to a submittable
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
