import type { DirectServer } from '../../database.options.js';
import { MigrationError } from '../../errors/migration.errors.js';
import type { PoolerDetector } from './pooler-detector.js';

/**
 * Refuses migrations through a pooler that shares sessions between clients.
 *
 * @param direct the direct server, if the connection leads to it
 * @throws MigrationError `MIGRATION_POOLER`
 */
export function refuseSharedSession(
  { isSessionShared, mode }: Pick<PoolerDetector, 'isSessionShared' | 'mode'>,
  direct: DirectServer | undefined,
): void {
  if (!isSessionShared) return;
  const way = direct
    ? `DB_DIRECT_URL leads through a pooler in ${mode} mode as well`
    : `The connection passes a pooler in ${mode} mode`;
  throw new MigrationError(
    `${way}. Migrations are not run through it: their lock and their settings (lock_timeout, statement_timeout) belong to a session, ` +
      'and the pooler runs the next statement in the session of another client. Nothing was changed.',
    {
      code: 'MIGRATION_POOLER',
      hint: 'Set DB_DIRECT_URL (directUrl) to the address of the server itself; for Neon it is found without that. If the pooler is in session mode, set DB_POOLER=session.',
    },
  );
}
