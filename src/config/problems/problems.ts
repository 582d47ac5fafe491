import { DatabaseConfigError } from '../../database.errors.js';
import type { ConfigProblem } from '../../database.errors.js';

/** Gathers what is wrong and what is suspicious, so that all of it is told at once. */
export class Problems {
  readonly found: ConfigProblem[] = [];
  readonly warnings: string[] = [];

  /** `message` says the shape of what was found and what is allowed; never a secret. */
  add(setting: string, message: string): void {
    // zod reports 0.5 twice where a whole number above 0 is meant.
    if (!this.found.some((known) => known.setting === setting && known.message === message))
      this.found.push({ setting, message });
  }

  warn(setting: string, message: string): void {
    this.warnings.push(`${setting}: ${message}`);
  }

  throwIfAny(dataSource?: string): void {
    if (this.found.length > 0)
      throw new DatabaseConfigError(this.found, dataSource === undefined ? {} : { dataSource });
  }
}
