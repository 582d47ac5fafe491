import type { LeaseInfo, PoolSnapshot } from '../database.snapshot.js';

/** `28.1 s`, `350 ms`. */
export function duration(ms: number): string {
  return ms >= 1_000 ? `${(ms / 1_000).toFixed(1)} s` : `${Math.round(ms)} ms`;
}

/** `GET /users/:id for 28.1 s, in transaction, last SQL SELECT 1`. */
export function describeLease(lease: LeaseInfo): string {
  return [
    `${lease.borrower ?? 'somebody without a name'} for ${duration(lease.heldMs)}`,
    lease.inTransaction ? 'in transaction' : undefined,
    lease.lastSql === undefined ? undefined : `last SQL ${lease.lastSql}`,
  ]
    .filter((part) => part !== undefined)
    .join(', ');
}

/** `15 of 15 connections in use, 42 waiting; held longest: …`. */
export function describePool(pool: PoolSnapshot, holders: readonly LeaseInfo[]): string {
  const parts = [`${pool.leased} of ${pool.max} connections in use`];
  if (pool.dialling > 0) parts.push(`${pool.dialling} being opened`);
  if (pool.validating > 0) parts.push(`${pool.validating} being validated`);
  if (pool.returning > 0) parts.push(`${pool.returning} being cleaned`);
  parts.push(`${pool.waiting} waiting`);
  const text = parts.join(', ');
  if (holders.length === 0) return text;
  return `${text}; held longest: ${holders.map(describeLease).join('; ')}`;
}
