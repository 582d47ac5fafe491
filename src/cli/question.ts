import { once } from 'node:events';
import { createInterface } from 'node:readline/promises';
import type { Output } from './doctor/report.js';

/** Asks a question on the terminal, whose answer is no unless it begins with y; undefined where nobody can answer. */
export function askerFor(out: Output): ((question: string) => Promise<boolean>) | undefined {
  if (out.isTTY !== true || !process.stdin.isTTY) return undefined;
  return async (question) => {
    const terminal = createInterface({ input: process.stdin, output: process.stderr });
    // Ctrl-C and Ctrl-D close it, and leave the question without an answer.
    const closed = once(terminal, 'close').then(() => '');
    try {
      const answer = await Promise.race([terminal.question(`${question} [y/N] `), closed]);
      return /^y/i.test(answer.trim());
    } finally {
      terminal.close();
    }
  };
}
