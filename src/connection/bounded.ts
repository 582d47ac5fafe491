import { after } from './deadline.js';

/** Settles as `work` does, or rejects with `late()` after `ms`. */
export function bounded<T>(work: Promise<T>, ms: number, late: () => Error): Promise<T> {
  return new Promise((resolve, reject) => {
    const cancel = after(ms, () => reject(late()));
    work.then(resolve, reject).finally(cancel);
  });
}
