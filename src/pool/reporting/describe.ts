import type { LeaseInfo, PoolSnapshot } from '../../database.snapshot.js';

/** `28.1 s`, `350 ms`. */
export function duration(ms: number): string {
  return ms >= 1_000 ? `${(ms / 1_000).toFixed(1)} s` : `${Math.round(ms)} ms`;
}

/** `GET /users/:id for 28.1 s, in transaction, last SQL SELECT 1`. */
export function describeLease(lease: LeaseInfo): string {
  return describeAlike(lease, 1);
}

function describeAlike(longest: LeaseInfo, count: number): string {
  const { borrower = '(unnamed borrower)', heldMs, inTransaction, lastSql } = longest;
  return [
    count === 1
      ? `${borrower} for ${duration(heldMs)}`
      : `${count} by ${borrower} for up to ${duration(heldMs)}`,
    inTransaction ? 'in transaction' : undefined,
    lastSql === undefined ? undefined : `last SQL ${lastSql}`,
  ]
    .filter((part) => part !== undefined)
    .join(', ');
}

/** Those that differ in nothing but how long they hold are told once, with their number. */
export function describeHolders(holders: readonly LeaseInfo[]): string {
  const alike = new Map<string, LeaseInfo[]>();
  for (const lease of holders) {
    const key = JSON.stringify([lease.borrower, lease.inTransaction, lease.lastSql]);
    const others = alike.get(key);
    if (others) others.push(lease);
    else alike.set(key, [lease]);
  }
  return [...alike.values()]
    .map((leases) => {
      const longest = leases.reduce((a, b) => (b.heldMs > a.heldMs ? b : a));
      return describeAlike(longest, leases.length);
    })
    .join('; ');
}

/** `15 of 15 connections in use, 42 waiting; held longest: …`. */
export function describePool(pool: PoolSnapshot, holders: readonly LeaseInfo[]): string {
  const parts = [`${pool.leased} of ${pool.max} connections in use`];
  if (pool.connecting > 0) parts.push(`${pool.connecting} being opened`);
  if (pool.validating > 0) parts.push(`${pool.validating} being validated`);
  if (pool.resetting > 0) parts.push(`${pool.resetting} being cleaned`);
  parts.push(`${pool.waiting} waiting`);
  const text = parts.join(', ');
  if (holders.length === 0) return text;
  return `${text}; held longest: ${describeHolders(holders)}`;
}
