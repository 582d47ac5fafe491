/**
 * How many characters have to be changed, added, taken away or swapped with their neighbour to make `b` of `a`
 * (Levenshtein, with the swap that makes `siez` of `size` one slip).
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
 * The known name that `name` was probably meant to be. Case, `_` and `-` don't count; two slips are forgiven, in short
 * names one, since most names of four letters are two letters from each other.
 */
export function nearMiss(name: string, known: readonly string[]): string | undefined {
  const written = plain(name);
  let best: { name: string; slips: number } | undefined;
  for (const candidate of known) {
    if (candidate === name) return undefined;
    const wanted = plain(candidate);
    const forgiven = Math.min(written.length, wanted.length) < 6 ? 1 : 2;
    // Each character too many is a slip, and the table below has one row for each.
    if (Math.abs(written.length - wanted.length) > forgiven) continue;
    const slips = distance(written, wanted);
    if (slips <= forgiven && (!best || slips < best.slips)) best = { name: candidate, slips };
  }
  return best?.name;
}
