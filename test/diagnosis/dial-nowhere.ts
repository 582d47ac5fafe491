// Run in a network namespace without any network, where not even 127.0.0.1 can be reached.
import { resolveDatabaseOptions } from '../../src/config/resolve.js';
import { connectionOptions } from '../../src/data-source/data-source.pool.js';
import { Connection } from '../../src/connection/connection.js';
import { diagnose } from '../../src/diagnosis.js';

const settings = resolveDatabaseOptions({ url: 'postgres://app:x@127.0.0.1/app' });
const connection = new Connection(connectionOptions(settings));
connection.on('error', () => undefined);
connection.connect().catch((error: { code: string }) => {
  process.stdout.write(JSON.stringify({ ...diagnose(error), cause: error.code }));
});
