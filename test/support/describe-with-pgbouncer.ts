import { describe, it } from '@jest/globals';
import { pgBouncerBinary } from './pgbouncer.js';

/** Specs that need PgBouncer. Where it is missing they say so, loudly; where everything has to be tested they fail. */
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
