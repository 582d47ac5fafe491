/**
 * The least number of edits that turn `a` into `b`. An edit inserts, deletes or replaces a character, or swaps two
 * neighbours, so that `siez` is one edit from `size`. This is the Damerau-Levenshtein distance (optimal string alignment).
 */
export function editDistance(a: string, b: string): number {
  const edits = Array.from({ length: a.length + 1 }, (_, row) =>
    Array.from({ length: b.length + 1 }, (_, column) => (row === 0 ? column : row)),
  );
  const at = (row: number, column: number) => edits[row]![column]!;
  for (let row = 1; row <= a.length; row++)
    for (let column = 1; column <= b.length; column++) {
      const replaced = a[row - 1] === b[column - 1] ? 0 : 1;
      const swapped = row > 1 && column > 1 && a[row - 1] === b[column - 2] && a[row - 2] === b[column - 1];
      edits[row]![column] = Math.min(
        at(row - 1, column) + 1,
        at(row, column - 1) + 1,
        at(row - 1, column - 1) + replaced,
        swapped ? at(row - 2, column - 2) + 1 : Infinity,
      );
    }
  return at(a.length, b.length);
}

const normalized = (name: string) => name.replace(/[_-]/g, '').toLowerCase();

/**
 * The known name that `name` is probably a misspelling of. Case, `_` and `-` do not count. A misspelling has at most two
 * edits, or one in a name of less than six characters: most names of four letters are two edits from each other.
 */
export function nearMiss(name: string, known: readonly string[]): string | undefined {
  const written = normalized(name);
  let best: { name: string; edits: number } | undefined;
  for (const candidate of known) {
    if (candidate === name) return undefined;
    const wanted = normalized(candidate);
    const maxEdits = Math.min(written.length, wanted.length) < 6 ? 1 : 2;
    // Each character of difference in length is an edit. A pasted value of megabytes must not fill the table of edits.
    if (Math.abs(written.length - wanted.length) > maxEdits) continue;
    const edits = editDistance(written, wanted);
    if (edits <= maxEdits && (!best || edits < best.edits)) best = { name: candidate, edits };
  }
  return best?.name;
}
