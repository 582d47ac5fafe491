import { once } from 'node:events';
import { createInterface } from 'node:readline/promises';
import type { Output } from './doctor/report.js';

/** A function that asks a question on the terminal. An answer that begins with y is a yes. Undefined without a terminal. */
export function askerFor(
  out: Output,
  { stdin, stderr }: Pick<typeof process, 'stdin' | 'stderr'> = process,
): ((question: string) => Promise<boolean>) | undefined {
  if (out.isTTY !== true || !stdin.isTTY) return undefined;
  return async (question) => {
    const terminal = createInterface({ input: stdin, output: stderr });
    // Ctrl-C and Ctrl-D reject the question; the end of the input leaves it without an answer.
    const closed = once(terminal, 'close').then(() => '');
    const answered = terminal.question(`${question} [y/N] `).catch(() => '');
    try {
      const answer = await Promise.race([answered, closed]);
      return /^y/i.test(answer.trim());
    } finally {
      terminal.close();
    }
  };
}
