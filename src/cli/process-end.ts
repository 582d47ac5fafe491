import { constants } from 'node:os';
import { CommandError } from '../errors/command.error.js';
import type { FailedCommand } from './failure.js';
import { printFailure, reportFailure } from './failure.js';
import { interruptWork } from './interruption.js';

const SIGNALS = ['SIGINT', 'SIGTERM', 'SIGHUP'] as const;

/**
 * Reports an end of the process before the end of the command: by a signal, an error that nothing catches, `process.exit()` in the code of
 * the app, or a promise of it that never settles.
 *
 * @returns is to be called when the command has ended
 */
export function reportEarlyEnd(failed: FailedCommand): () => void {
  let hasEnded = false;
  const end = (exitCode: number) => {
    hasEnded = true;
    process.exit(exitCode);
  };
  process.on('uncaughtException', (error) => end(reportFailure(error, failed)));
  for (const signal of SIGNALS)
    process.once(signal, () => {
      // A migration that runs may have left its line on the terminal.
      if (failed.out.isTTY) failed.err.write('\n');
      const exitCode = 128 + constants.signals[signal];
      printFailure(
        { code: null, message: `Interrupted by ${signal}.`, hint: AFTER_INTERRUPT },
        exitCode,
        failed,
      );
      // Packages have handlers of their own, which may end the process first. A second signal of this kind ends it at once.
      hasEnded = true;
      void interruptWork().then(() => end(exitCode));
    });
  process.once('exit', () => {
    if (hasEnded) return;
    // The exit code of the app, 0 perhaps, is not that of the command.
    process.exitCode = reportFailure(new CommandError('usage', EARLY_END), failed);
  });
  return () => {
    hasEnded = true;
  };
}

const EARLY_END =
  'The process ended before the command: the code of the app has called process.exit(), or waits for something that never happens.';

const AFTER_INTERRUPT =
  'The server rolls back a transaction that was open. What a migration without a transaction has done stays: see nestjs-database migration:show.';
