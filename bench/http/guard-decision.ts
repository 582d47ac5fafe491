/** By how much the ratio of a try may exceed the recorded one: machines differ, and other work disturbs. */
export const TOLERANCE = 1.3;

/** Ratio of our CPU time per request to the peer's, by route. */
export type Ratios = Readonly<Record<string, number>>;

export interface Verdict {
  readonly best: number;
  readonly limit: number;
  readonly passed: boolean;
}

/**
 * Judges the tries of one route by the best of them: noise raises one of the two CPU times for a moment, a change of the code
 * raises ours in every try.
 */
export function judge(tries: readonly number[], recorded: number): Verdict {
  const best = Math.min(...tries);
  const limit = recorded * TOLERANCE;
  return { best, limit, passed: best <= limit };
}

/**
 * The ratios that are recorded for a major version of Node.js, else for the next lower one, else for the lowest.
 * @throws Error when nothing is recorded
 */
export function recordedFor(records: Readonly<Record<string, Ratios>>, major: number): Ratios {
  const versions = Object.keys(records)
    .map(Number)
    .sort((a, b) => a - b);
  const version = versions.filter((each) => each <= major).at(-1) ?? versions[0];
  const ratios = version === undefined ? undefined : records[version];
  if (!ratios) throw new Error('No ratios are recorded');
  return ratios;
}
