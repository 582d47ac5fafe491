// Run in a network namespace without any network, where not even 127.0.0.1 can be reached. The built package and not its
// sources: what compiles those wants to know whom the folders belong to, and in a namespace they are nobody's.
import { diagnose } from '../../dist/esm/index.js';
import { Connection } from '../../dist/esm/pool/index.js';

const connection = new Connection('postgres://app:x@127.0.0.1/app');
connection.on('error', () => undefined);
connection
  .connect()
  .catch((error) => process.stdout.write(JSON.stringify({ ...diagnose(error), cause: error.code })));
