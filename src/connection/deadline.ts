/** The longest delay that `setTimeout` accepts (24 days); with a longer one, it fires immediately. Milliseconds. */
export const LONGEST_TIMER_MS = 2 ** 31 - 1;

/**
 * How long the server has by default to close the socket after Terminate, or to confirm a cancel request. Milliseconds.
 * Without a limit, `end()` of `pg` never resolves on a frozen network.
 */
export const CLOSE_TIMEOUT_MS = 1_000;

/**
 * Calls `onExpired` once, after `ms` and after the event loop has read its sockets. After the event loop was blocked, timers
 * fire before sockets are read: without this order, an answer that arrived in time would count as late.
 * @param ms milliseconds, at most {@link LONGEST_TIMER_MS}; a larger number counts as that
 * @param keepsProcessAlive whether the process stays alive until then
 * @returns a function that cancels the deadline
 */
export function startDeadline(ms: number, onExpired: () => void, keepsProcessAlive = true): () => void {
  let immediate: NodeJS.Immediate | undefined;
  const cancel = startTimer(ms, () => (immediate = setImmediate(onExpired)), keepsProcessAlive);
  return () => {
    cancel();
    clearImmediate(immediate);
  };
}

/** Like {@link startDeadline}, but does not wait for the sockets to be read: for a time that no answer has to meet. */
export function startTimer(ms: number, onExpired: () => void, keepsProcessAlive = true): () => void {
  const timer = setTimeout(onExpired, Math.min(ms, LONGEST_TIMER_MS));
  if (!keepsProcessAlive) timer.unref();
  return () => clearTimeout(timer);
}

/** Settles as `work` does; rejects with `timeoutError()` when `work` has not settled within `timeoutMs`. */
export function withTimeout<T>(work: Promise<T>, timeoutMs: number, timeoutError: () => Error): Promise<T> {
  return new Promise((resolve, reject) => {
    const cancel = startDeadline(timeoutMs, () => reject(timeoutError()));
    work.then(resolve, reject).finally(cancel);
  });
}
