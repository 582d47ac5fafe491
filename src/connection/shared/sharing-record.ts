/** What a statement may cost on a shared connection. */
export interface SharingLimits {
  /** Longest mean time of a statement on the server. Milliseconds. */
  readonly maxMeanMs: number;
  /** Largest mean result. Bytes. */
  readonly maxMeanBytes: number;
}

/** Why the statements of a text are not shared. */
export type NotShareableReason = 'unknown' | 'slow' | 'large' | 'session';

/** The weight of the newest sample in a mean. */
const WEIGHT = 1 / 8;

/** One sample above this multiple of a limit is enough to end the sharing. */
export const OUTLIER = 4;

/**
 * How many samples in succession must be within the limits: before a text is shared, before it is shared again, and at most, since
 * their number doubles each time that the sharing ends.
 */
export const REQUIRED_SAMPLES = { first: 4, afterEnd: 16, most: 512 };

/**
 * How long the statements of one text take and how large their results are, by moving averages. Statements of the text are
 * shared while both are within the limits. A statement that is slow or large delays all statements behind it, so that one
 * outlier ends the sharing. The text is shared again when it has been fast and small often enough on connections of its own.
 */
export class SharingRecord {
  meanMs = 0;
  #meanBytes = 0;
  /** Samples in the means. */
  #samples = 0;
  #requiredSamples = REQUIRED_SAMPLES.first;
  #isShareable = false;
  #reason: NotShareableReason = 'unknown';

  /** Why statements of the text are not shared; undefined while they are. */
  get notShareableReason(): NotShareableReason | undefined {
    return this.#isShareable ? undefined : this.#reason;
  }

  /** Records a statement. */
  add(ms: number, bytes: number, limits: SharingLimits): void {
    this.meanMs = this.#mean(this.meanMs, ms);
    this.#meanBytes = this.#mean(this.#meanBytes, bytes);
    this.#samples += 1;
    const isSlow = ms > OUTLIER * limits.maxMeanMs || this.meanMs > limits.maxMeanMs;
    const isLarge = bytes > OUTLIER * limits.maxMeanBytes || this.#meanBytes > limits.maxMeanBytes;
    if (isSlow || isLarge) this.#end(isSlow ? 'slow' : 'large');
    else if (this.#samples >= this.#requiredSamples) {
      this.#isShareable = true;
      // After a long time within the limits, the next end of the sharing counts as the first one.
      if (this.#samples >= REQUIRED_SAMPLES.most) this.#requiredSamples = REQUIRED_SAMPLES.first;
    }
  }

  /** Ends the sharing before the answer of a statement, which is late. */
  markSlow(): void {
    this.#end('slow');
  }

  /**
   * Ends the sharing for as long as possible: while a statement of the text was in flight, a setting of its session has changed. Not
   * for good: the server reports the reload of its configuration in the same way.
   */
  markSessionChanging(): void {
    this.#end('session');
    this.#requiredSamples = REQUIRED_SAMPLES.most;
  }

  #mean(mean: number, sample: number): number {
    return this.#samples === 0 ? sample : mean + (sample - mean) * WEIGHT;
  }

  /** Ends the sharing, and begins the means anew: the outlier would stay in them for too long. */
  #end(reason: NotShareableReason): void {
    if (this.#isShareable)
      this.#requiredSamples = Math.min(
        Math.max(this.#requiredSamples * 2, REQUIRED_SAMPLES.afterEnd),
        REQUIRED_SAMPLES.most,
      );
    this.#isShareable = false;
    this.#reason = reason;
    this.#samples = 0;
  }
}
