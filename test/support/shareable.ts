import type { PoolSnapshot } from '../../src/database.snapshot.js';

/** A pool with shared connections. */
export interface SharingPool {
  snapshot(): PoolSnapshot;
}

/** What the pool tells of its shared connections. */
export const sharingOf = (pool: SharingPool) => pool.snapshot().multiplex!;

/** How many statements of `work` the pool has shared. */
export async function sharedBy(pool: SharingPool, work: () => Promise<unknown>): Promise<number> {
  const { shared } = sharingOf(pool);
  await work();
  return sharingOf(pool).shared - shared;
}

/** Executes a statement until the pool shares it. */
export async function makeShareable(pool: SharingPool, work: () => Promise<unknown>): Promise<void> {
  for (let call = 0; call < 200; call += 1) if ((await sharedBy(pool, work)) > 0) return;
  throw new Error(`It is not shared: ${JSON.stringify(sharingOf(pool))}`);
}
