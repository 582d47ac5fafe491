/**
 * Settles as `work` does, or rejects with `late()` after `ms`. When the event loop was blocked, timers fire before the
 * sockets are read: the answer that lies in the buffer already is given one more turn to be seen.
 */
export function bounded<T>(work: Promise<T>, ms: number, late: () => Error): Promise<T> {
  return new Promise((resolve, reject) => {
    const timer = setTimeout(() => setImmediate(() => setImmediate(() => reject(late()))), ms);
    work.then(resolve, reject).finally(() => clearTimeout(timer));
  });
}
