/** The median of some measurements, and the smallest and the largest of them. */
export interface Range {
  readonly median: number;
  readonly min: number;
  readonly max: number;
}

/** @param part of the values that are at most as large as the result: 0.99 */
export function percentile(values: readonly number[], part: number): number {
  const sorted = [...values].sort((a, b) => a - b);
  return sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * part))] ?? NaN;
}

export const median = (values: readonly number[]): number => percentile(values, 0.5);

export const rangeOf = (values: readonly number[]): Range => ({
  median: median(values),
  min: Math.min(...values),
  max: Math.max(...values),
});
