import { describe, it } from '@jest/globals';
import { pgBouncerBinary } from './pgbouncer.js';

/** Describes specs that need PgBouncer. If it is missing, they are skipped with a warning; in CI they fail. */
export function describeWithPgBouncer(name: string, specs: () => void): void {
  if (pgBouncerBinary() !== undefined) return describe(name, specs);
  describe(name, () => {
    it('needs PgBouncer', () => {
      const message = `NOT TESTED: "${name}". PgBouncer is not installed; scripts/install-test-tools.sh installs it.`;
      if (process.env.CI) throw new Error(message);
      console.warn(message);
    });
  });
}
