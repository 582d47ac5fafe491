/**
 * Lets an error of a user's hook or listener surface as an uncaught exception. Thrown in place, it would leave a connection
 * between two states, or a waiter without an answer.
 */
export function rethrowOnNextTick(thrown: unknown): void {
  process.nextTick(() => {
    throw thrown;
  });
}
