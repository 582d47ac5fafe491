/**
 * Makes an error of a user's hook or listener an uncaught exception. If it were thrown immediately, it could leave a connection
 * between two states, or a waiter unsettled.
 */
export function rethrowOnNextTick(thrown: unknown): void {
  process.nextTick(() => {
    throw thrown;
  });
}
