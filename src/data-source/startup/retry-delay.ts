/**
 * The delay before a retry. It doubles with each attempt and includes jitter.
 *
 * @param attempt 0 for the first retry
 * @returns milliseconds
 */
export function retryDelayMs(
  { initialDelayMs, maxDelayMs }: { readonly initialDelayMs: number; readonly maxDelayMs: number },
  attempt: number,
): number {
  return withJitter(Math.min(initialDelayMs * 2 ** attempt, maxDelayMs));
}

/** Adds up to 20 %, so that instances of one app that start together do not connect and poll together. */
export function withJitter(ms: number): number {
  return ms * (1 + Math.random() * 0.2);
}
