import { DatabaseConfigError } from '../../errors/config.errors.js';
import type { ConfigProblem } from '../../errors/config.errors.js';

/** Collects problems and warnings, so that one error reports everything. */
export class Problems {
  readonly found: ConfigProblem[] = [];
  readonly warnings: string[];

  constructor(warnings: readonly string[] = []) {
    this.warnings = [...warnings];
  }

  /** Adds a problem. The message says what was found and what is allowed; it never contains a secret. */
  add(setting: string, message: string): void {
    // The primary, its direct server and its replicas share settings: the same problem would be reported several times.
    if (!this.found.some((known) => known.setting === setting && known.message === message))
      this.found.push({ setting, message });
  }

  /** Adds a warning, which does not fail the start. */
  warn(setting: string, message: string): void {
    const warning = `${setting}: ${message}`;
    if (!this.warnings.includes(warning)) this.warnings.push(warning);
  }

  /** Adds the problems and warnings of another server. `rename` maps each setting to its name in messages. */
  addAll(others: Problems, rename: (setting: string) => string): void {
    for (const { setting, message } of others.found) this.add(rename(setting), message);
    for (const warning of others.warnings) {
      const end = warning.indexOf(': ');
      this.warn(rename(warning.slice(0, end)), warning.slice(end + 2));
    }
  }

  /** @throws DatabaseConfigError `DATABASE_CONFIG_INVALID` with all problems, when there are any */
  throwIfAny(dataSource?: string): void {
    if (this.found.length > 0)
      throw new DatabaseConfigError(this.found, dataSource === undefined ? {} : { dataSource });
  }
}
