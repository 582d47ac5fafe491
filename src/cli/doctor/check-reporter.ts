import type { Check, CheckName } from './report.js';

/** The result of a check that passed. */
export type Finding = Pick<Check, 'summary'> & Partial<Pick<Check, 'warnings' | 'facts'>>;

/** Reports one check after the other, each with the time since the previous report. */
export class CheckReporter {
  readonly #report: (check: Check) => void;
  #current: CheckName = 'settings';
  #since = performance.now();

  constructor(report: (check: Check) => void) {
    this.#report = report;
  }

  /** Sets the current check. */
  begin(name: CheckName): void {
    this.#current = name;
  }

  /** Reports that the current check passed, possibly with warnings. */
  pass({ summary, warnings = [], facts }: Finding): void {
    const status = warnings.length > 0 ? 'warning' : 'ok';
    this.#report({
      name: this.#current,
      status,
      ms: this.#elapsedMs(),
      summary,
      warnings,
      ...(facts && { facts }),
    });
  }

  /** Reports that the current check failed. */
  fail(summary: string, diagnosis: NonNullable<Check['diagnosis']>): void {
    this.#report({
      name: this.#current,
      status: 'failed',
      ms: this.#elapsedMs(),
      summary,
      warnings: [],
      diagnosis,
    });
  }

  /** Milliseconds since the previous report. */
  #elapsedMs(): number {
    const now = performance.now();
    const ms = Math.round((now - this.#since) * 10) / 10;
    this.#since = now;
    return ms;
  }
}
