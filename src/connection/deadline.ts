/**
 * Calls `ring` once after `ms`, when what has come in meanwhile is read; the answer takes it back. After a blocked event
 * loop, timers fire before the sockets are looked at: the answer that lies in the buffer already is given a turn to be seen.
 */
export function after(ms: number, ring: () => void, holdsProcess = true): () => void {
  let turn: NodeJS.Immediate | undefined;
  const timer = setTimeout(() => {
    turn = setImmediate(ring);
  }, ms);
  if (!holdsProcess) timer.unref();
  return () => {
    clearTimeout(timer);
    clearImmediate(turn);
  };
}
