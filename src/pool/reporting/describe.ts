import type { LeaseInfo, PoolSnapshot } from '../../database.snapshot.js';
import { duration } from '../../text/duration.js';

/** A lease in a list of leases: `GET /users/:id for 28.1 s, in transaction, last SQL SELECT 1`. */
export function describeLease(lease: LeaseInfo): string {
  return withActivity(`${borrowerOf(lease)} for ${duration(lease.heldMs)}`, lease);
}

/** A lease in a sentence about its connection: `held for 28.1 s by GET /users/:id, in transaction, last SQL SELECT 1`. */
export function describeHeld(lease: LeaseInfo): string {
  return withActivity(`held for ${duration(lease.heldMs)} by ${borrowerOf(lease)}`, lease);
}

/** The leases as a list; leases that differ in nothing but their duration are one item with a count. */
export function describeHolders(holders: readonly LeaseInfo[]): string {
  const groups = new Map<string, LeaseInfo[]>();
  for (const lease of holders) {
    const key = JSON.stringify([lease.borrower, lease.inTransaction, lease.lastSql]);
    const group = groups.get(key);
    if (group) group.push(lease);
    else groups.set(key, [lease]);
  }
  return [...groups.values()].map(describeGroup).join('; ');
}

/** The pool in one sentence: `15 of 15 connections in use, 42 waiting; held longest: …`. */
export function describePool(pool: PoolSnapshot, holders: readonly LeaseInfo[]): string {
  const parts = [`${pool.leased} of ${pool.max} connections in use`];
  if (pool.connecting > 0) parts.push(`${pool.connecting} connecting`);
  if (pool.validating > 0) parts.push(`${pool.validating} validating`);
  if (pool.multiplex && pool.multiplex.connections > 0) {
    const { connections, inFlight } = pool.multiplex;
    parts.push(`${connections} shared by ${inFlight} statement${inFlight === 1 ? '' : 's'}`);
  }
  if (pool.resetting > 0) parts.push(`${pool.resetting} resetting`);
  parts.push(`${pool.waiting} waiting`);
  const text = parts.join(', ');
  if (holders.length === 0) return text;
  return `${text}; held longest: ${describeHolders(holders)}`;
}

function describeGroup(leases: readonly LeaseInfo[]): string {
  const longest = leases.reduce((a, b) => (b.heldMs > a.heldMs ? b : a));
  if (leases.length === 1) return describeLease(longest);
  const text = `${leases.length} by ${borrowerOf(longest)} for up to ${duration(longest.heldMs)}`;
  return withActivity(text, longest);
}

function borrowerOf({ borrower = '(unnamed borrower)' }: LeaseInfo): string {
  return borrower;
}

function withActivity(text: string, { inTransaction, lastSql }: LeaseInfo): string {
  const transaction = inTransaction ? ', in transaction' : '';
  return lastSql === undefined ? text + transaction : `${text}${transaction}, last SQL ${lastSql}`;
}
