// Runs in a network namespace without a network, where not even 127.0.0.1 can be reached. Imports the built package: the
// compiler of the sources checks the owner of the folders, which does not exist in the namespace.
import { diagnose } from '../../dist/esm/index.js';
import { Connection } from '../../dist/esm/pool/index.js';

const connection = new Connection('postgres://app:x@127.0.0.1/app');
connection.on('error', () => undefined);
connection
  .connect()
  .catch((error) => process.stdout.write(JSON.stringify({ ...diagnose(error), cause: error.code })));
