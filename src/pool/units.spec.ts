import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { describe, expect, it } from '@jest/globals';
import { UnitLedger } from './units.js';

describe('units of work', () => {
  it('hold connections from their lease to their return', () => {
    const ledger = new UnitLedger();
    const [one, other] = [{}, {}];
    expect(ledger.holds(one)).toBe(false);
    ledger.leased(one);
    ledger.leased(one);
    ledger.returned(one);
    expect([ledger.holds(one), ledger.holds(other), ledger.holds(undefined)]).toEqual([true, false, false]);
    ledger.returned(one);
    expect(ledger.holds(one)).toBe(false);
  });

  it('that only wait hold nothing', () => {
    const ledger = new UnitLedger();
    const unit = {};
    ledger.waiting(unit);
    expect([ledger.holds(unit), ledger.blocked]).toEqual([false, 0]);
  });

  it('block what they hold for as long as one of theirs waits, in any order of events', () => {
    const ledger = new UnitLedger();
    const [one, other] = [{}, {}];
    ledger.leased(one);
    ledger.leased(one);
    ledger.leased(other);
    expect(ledger.blocked).toBe(0);
    ledger.waiting(one);
    expect(ledger.blocked).toBe(2);
    ledger.waiting(one);
    ledger.waiting(other);
    expect(ledger.blocked).toBe(3);
    ledger.settled(one);
    expect(ledger.blocked).toBe(3);
    ledger.leased(one);
    expect(ledger.blocked).toBe(4);
    ledger.returned(other);
    expect(ledger.blocked).toBe(3);
    ledger.settled(one);
    expect(ledger.blocked).toBe(0);
    ledger.settled(other);
    ledger.returned(one);
    ledger.returned(one);
    ledger.returned(one);
    expect([ledger.blocked, ledger.holds(one), ledger.holds(other)]).toEqual([0, false, false]);
  });

  it('are not counted when nobody says which', () => {
    const ledger = new UnitLedger();
    ledger.leased(undefined);
    ledger.waiting(undefined);
    expect([ledger.blocked, ledger.holds(undefined)]).toEqual([0, false]);
    ledger.settled(undefined);
    ledger.returned(undefined);
    expect([ledger.blocked, ledger.holds(undefined)]).toEqual([0, false]);
  });

  it('are forgotten when they neither hold nor wait', async () => {
    const ledger = new UnitLedger();
    const left = (work: (unit: object) => void): WeakRef<object> => {
      const unit = {};
      work(unit);
      return new WeakRef(unit);
    };
    const forgotten = left((unit) => {
      ledger.waiting(unit);
      ledger.leased(unit);
      ledger.settled(unit);
      ledger.returned(unit);
    });
    const remembered = left((unit) => {
      ledger.leased(unit);
      ledger.waiting(unit);
      ledger.returned(unit);
    });
    setFlagsFromString('--expose-gc');
    const collect = runInNewContext('gc') as () => void;
    await new Promise((resolve) => setImmediate(resolve));
    collect();
    expect(forgotten.deref()).toBeUndefined();
    expect(remembered.deref()).toBeDefined();
  });
});
