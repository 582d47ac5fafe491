/** The part of pg-cursor that {@link keepClosed} uses. */
interface Cursor {
  state: string;
  /** The `Connection` of `pg`, once the cursor is submitted. */
  readonly connection: { removeListener(event: string, listener: () => void): unknown } | null;
  readonly _closePortal: unknown;
  readonly _ifNoData: () => void;
  readonly _rowDescription: () => void;
}

/** The cursor of a submittable of pg-query-stream, or a submittable that is one; undefined for any other. */
function cursorOf(statement: unknown): Cursor | undefined {
  const { cursor = statement } = statement as { cursor?: unknown };
  const { state, _closePortal } = (cursor ?? {}) as Partial<Cursor>;
  return typeof state === 'string' && typeof _closePortal === 'function' ? (cursor as Cursor) : undefined;
}

/**
 * Keeps a cursor closed. One of pg-cursor that is closed before the first answer of the server counts as open again when that arrives,
 * and is closed by a second Sync. The server answers it by a second ReadyForQuery, with which `pg` ends the next statement: that
 * one would get no rows, and each statement after it the rows of the one before, also those of another borrower.
 */
export function keepClosed(statement: unknown): void {
  const cursor = cursorOf(statement);
  if (!cursor) return;
  let { state } = cursor;
  Object.defineProperty(cursor, 'state', {
    configurable: true,
    enumerable: true,
    get: () => state,
    set: (next: string) => {
      if (state === 'done') return;
      state = next;
      if (next !== 'done') return;
      // They would wait for the answer to another statement, when the server answers this one by an error.
      cursor.connection?.removeListener('noData', cursor._ifNoData);
      cursor.connection?.removeListener('rowDescription', cursor._rowDescription);
    },
  });
}
