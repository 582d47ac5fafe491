import type { Output } from './doctor/report.js';

/**
 * Reserves standard output for the results of a command: what the code of the app prints goes to standard error, and not into the document
 * of `--json` or the SQL of `migration:sql`.
 */
export function reserveStandardOutput(): Output & { flush: () => Promise<void> } {
  const { stdout, stderr } = process;
  const write = stdout.write.bind(stdout);
  stdout.write = stderr.write.bind(stderr);
  // The reader of a pipe may have ended (`| head -1`): a migration that runs must not end with it.
  for (const stream of [stdout, stderr]) stream.on('error', () => undefined);
  const written = (send: typeof write) => new Promise<void>((resolve) => send('', () => resolve()));
  return {
    isTTY: stdout.isTTY,
    // Only a terminal has the method.
    hasColors: () => stdout.hasColors?.() ?? false,
    write: (text) => write(text),
    flush: async () => {
      await Promise.all([written(write), written(stderr.write.bind(stderr))]);
    },
  };
}
