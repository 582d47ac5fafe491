import type { SharedStatement } from '../../connection/shared/shared-statement.js';

/**
 * Rejects an acquire for one statement: a place on a shared connection was free first. It is no error, never reaches a caller, and
 * has no stack.
 */
export class PlaceOnSharedConnection {
  constructor(readonly statement: SharedStatement) {
    Object.freeze(this);
  }
}
