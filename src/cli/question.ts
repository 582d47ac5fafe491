import { createInterface } from 'node:readline/promises';
import type { Output } from './doctor/report.js';

/** Asks a question on the terminal, whose answer is no unless it begins with y; undefined where nobody can answer. */
export function askerFor(out: Output): ((question: string) => Promise<boolean>) | undefined {
  if (out.isTTY !== true || !process.stdin.isTTY) return undefined;
  return async (question) => {
    const terminal = createInterface({ input: process.stdin, output: process.stdout });
    try {
      return /^y/i.test((await terminal.question(`${question} [y/N] `)).trim());
    } finally {
      terminal.close();
    }
  };
}
