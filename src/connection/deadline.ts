/** The longest time that `setTimeout` takes; with a longer one it fires at once. Milliseconds, 24 days. */
export const LONGEST_TIMER_MS = 2 ** 31 - 1;

/**
 * The default limit, in milliseconds, for the server to close a connection that says goodbye, or to confirm a cancel
 * request. Without it, `pg`'s `end()` waits for ever on a frozen network.
 */
export const CLOSE_TIMEOUT_MS = 1_000;

/**
 * Calls `onExpired` once after `ms`, after the event loop has read what has arrived on its sockets. When the event loop
 * was blocked, timers fire before sockets are read: an answer that arrived in time would count as late.
 * @param ms milliseconds; more than {@link LONGEST_TIMER_MS}, `Infinity` included, counts as that
 * @param keepsProcessAlive whether the process stays alive until then
 * @returns a function that cancels the deadline
 */
export function startDeadline(ms: number, onExpired: () => void, keepsProcessAlive = true): () => void {
  let turn: NodeJS.Immediate | undefined;
  const cancel = startTimer(ms, () => (turn = setImmediate(onExpired)), keepsProcessAlive);
  return () => {
    cancel();
    clearImmediate(turn);
  };
}

/** As {@link startDeadline}, but without a look at the sockets: for a time at which no answer is expected. */
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
