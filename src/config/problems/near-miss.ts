/**
 * The number of characters to change, insert, delete or swap with their neighbour that turns `a` into `b`: the
 * Damerau-Levenshtein distance (optimal string alignment), in which `siez` for `size` is one slip.
 */
export function distance(a: string, b: string): number {
  const slips = Array.from({ length: a.length + 1 }, (_, row) =>
    Array.from({ length: b.length + 1 }, (_, column) => (row === 0 ? column : row)),
  );
  const at = (row: number, column: number) => slips[row]![column]!;
  for (let row = 1; row <= a.length; row++)
    for (let column = 1; column <= b.length; column++) {
      const differ = a[row - 1] === b[column - 1] ? 0 : 1;
      const swapped = row > 1 && column > 1 && a[row - 1] === b[column - 2] && a[row - 2] === b[column - 1];
      slips[row]![column] = Math.min(
        at(row - 1, column) + 1,
        at(row, column - 1) + 1,
        at(row - 1, column - 1) + differ,
        swapped ? at(row - 2, column - 2) + 1 : Infinity,
      );
    }
  return at(a.length, b.length);
}

const plain = (name: string) => name.replace(/[_-]/g, '').toLowerCase();

/**
 * The known name that `name` was probably meant to be. Case, `_` and `-` do not count. Two slips are forgiven, in a name of
 * less than six characters one: most names of four letters are two slips from each other.
 */
export function nearMiss(name: string, known: readonly string[]): string | undefined {
  const written = plain(name);
  let best: { name: string; slips: number } | undefined;
  for (const candidate of known) {
    if (candidate === name) return undefined;
    const wanted = plain(candidate);
    const forgiven = Math.min(written.length, wanted.length) < 6 ? 1 : 2;
    // A difference in length is at least as many slips; this keeps a pasted text of megabytes out of the table of slips.
    if (Math.abs(written.length - wanted.length) > forgiven) continue;
    const slips = distance(written, wanted);
    if (slips <= forgiven && (!best || slips < best.slips)) best = { name: candidate, slips };
  }
  return best?.name;
}
