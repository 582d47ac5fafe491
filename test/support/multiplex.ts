import { REQUIRED_SAMPLES } from '../../src/connection/shared/sharing-record.js';
import { DEFAULTS } from '../../src/config/settings/defaults.js';
import { GROUPS } from '../../src/config/settings/settings.js';
import { MULTIPLEX } from '../../src/pool/pool.options.js';

/**
 * DB_MULTIPLEX=2 makes two connections of each pool shared in all specs that do not set `multiplex`, and shares a statement as soon
 * as one was measured. With TEST_PREPARED_STATEMENTS=1, that is the third execution of its text. The variable is removed: a spec
 * that reads the environment sets its own.
 */
const { DB_MULTIPLEX: given } = process.env;
if (given !== undefined) {
  delete process.env['DB_MULTIPLEX'];
  const connections = Number(given);
  REQUIRED_SAMPLES.first = 1;
  for (const defaults of [MULTIPLEX, DEFAULTS.multiplex])
    (defaults as { connections: number }).connections = connections;
  (GROUPS.multiplex['connections'] as { default: unknown }).default = connections;
}
