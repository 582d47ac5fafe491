/** Work that a signal has to wait for. */
interface InterruptibleWork {
  readonly abort: () => void;
  readonly settled: Promise<unknown>;
}

let running: InterruptibleWork | undefined;

/**
 * Runs work that has to clean up before the process ends. A signal such as that of Ctrl-C aborts it; the process ends when it has
 * settled, and the returned promise never settles.
 */
export async function interruptible<T>(work: (signal: AbortSignal) => Promise<T>): Promise<T> {
  const controller = new AbortController();
  const result = work(controller.signal);
  running = { abort: () => controller.abort(), settled: result.catch(() => undefined) };
  try {
    return await result;
  } finally {
    running = undefined;
    if (controller.signal.aborted) await new Promise(() => undefined);
  }
}

/** Aborts the work that is running, and resolves when it has cleaned up. */
export async function interruptWork(): Promise<void> {
  running?.abort();
  await running?.settled;
}
