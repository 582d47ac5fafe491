import { DEFAULTS } from '../../src/config/settings/defaults.js';
import { PREPARED_STATEMENTS } from '../../src/connection/statements/prepared-statements.js';

/**
 * TEST_PREPARED_STATEMENTS=1 prepares each parameterised statement at its first use in all specs that do not set the threshold,
 * and TEST_PREPARED_STATEMENTS=off none.
 */
const { TEST_PREPARED_STATEMENTS: given } = process.env;
if (given !== undefined) {
  const threshold = given === 'off' ? Infinity : Number(given);
  for (const defaults of [PREPARED_STATEMENTS, DEFAULTS.preparedStatements])
    (defaults as { threshold: number }).threshold = threshold;
}
