/** Above this, `setTimeout` fires at once. */
export const LONGEST_TIMER_MS = 2 ** 31 - 1;

/**
 * Calls `ring` once after `ms`, when what has come in meanwhile is read; the answer takes it back. After a blocked event
 * loop, timers fire before the sockets are looked at: the answer that lies in the buffer already is given a turn to be seen.
 * The longest time is that of a timer, 24 days: who writes `Infinity` wants no limit, and none that is over at once.
 */
export function after(ms: number, ring: () => void, holdsProcess = true): () => void {
  let turn: NodeJS.Immediate | undefined;
  const cancel = at(ms, () => (turn = setImmediate(ring)), holdsProcess);
  return () => {
    cancel();
    clearImmediate(turn);
  };
}

/** Calls `ring` once after `ms`, whatever lies in the buffers of sockets: for what waits for no answer. */
export function at(ms: number, ring: () => void, holdsProcess = true): () => void {
  const timer = setTimeout(ring, Math.min(ms, LONGEST_TIMER_MS));
  if (!holdsProcess) timer.unref();
  return () => clearTimeout(timer);
}
