import { constants } from 'node:os';

const SIGNALS = ['SIGINT', 'SIGTERM', 'SIGHUP'] as const;

/**
 * Runs work that has to clean up before the process ends. The first signal to end, as of Ctrl-C, aborts `work`; when it has settled, the
 * process exits as a shell expects it after a signal. A second signal ends the process at once.
 */
export async function interruptible<T>(work: (signal: AbortSignal) => Promise<T>): Promise<T> {
  const controller = new AbortController();
  const interrupt = (signal: NodeJS.Signals) => {
    stopListening();
    controller.abort(signal);
  };
  const stopListening = () => SIGNALS.forEach((signal) => process.off(signal, interrupt));
  SIGNALS.forEach((signal) => process.on(signal, interrupt));
  try {
    return await work(controller.signal);
  } finally {
    stopListening();
    const { signal } = controller;
    if (signal.aborted) process.exit(128 + constants.signals[signal.reason as NodeJS.Signals]);
  }
}
