/**
 * An error of the server is made where its answer is read; this leads its stack to who awaits the answer, as `pg` does for the
 * statements of which it makes the promise itself.
 */
export function leadToCaller(error: Error): never {
  // A client of another class may throw anything.
  if (error instanceof Error) Error.captureStackTrace(error, leadToCaller);
  throw error;
}
