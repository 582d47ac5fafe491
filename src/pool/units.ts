/**
 * Which units of work hold connections and which of them wait for another one. When every connection is held by a unit
 * that waits, none will come back.
 */
export class UnitLedger {
  readonly #units = new Map<object | undefined, { leases: number; waiters: number }>();
  /** Connections held by units that wait. */
  blocked = 0;

  holds(unit: object | undefined): boolean {
    return (this.#units.get(unit)?.leases ?? 0) > 0;
  }

  leased(unit: object | undefined): void {
    this.#change(unit, 1, 0);
  }

  returned(unit: object | undefined): void {
    this.#change(unit, -1, 0);
  }

  waiting(unit: object | undefined): void {
    this.#change(unit, 0, 1);
  }

  settled(unit: object | undefined): void {
    this.#change(unit, 0, -1);
  }

  #change(unit: object | undefined, leases: number, waiters: number): void {
    if (!unit) return;
    const entry = this.#units.get(unit) ?? { leases: 0, waiters: 0 };
    if (entry.waiters > 0) this.blocked -= entry.leases;
    entry.leases += leases;
    entry.waiters += waiters;
    if (entry.waiters > 0) this.blocked += entry.leases;
    if (entry.leases === 0 && entry.waiters === 0) this.#units.delete(unit);
    else this.#units.set(unit, entry);
  }
}
