import type { DataSourcePool } from './data-source.pool.js';

/**
 * Waits until no connection is out, `timeoutMs` at most.
 * @returns how many are still out
 */
export async function drain(pool: DataSourcePool, timeoutMs: number): Promise<number> {
  if (pool.figures().leased > 0 && timeoutMs > 0)
    await new Promise<void>((resolve) => {
      const done = () => {
        clearTimeout(timer);
        pool.off('release', check).off('remove', check);
        resolve();
      };
      // The pool tells of a release before it counts it.
      const check = () => setImmediate(() => pool.figures().leased === 0 && done());
      const timer = setTimeout(done, timeoutMs);
      pool.on('release', check).on('remove', check);
    });
  return pool.figures().leased;
}
