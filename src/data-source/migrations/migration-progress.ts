import { duration } from '../../text/duration.js';
import type { DatabaseLogger } from '../logging/database.logger.js';
import { lockWaitText } from '../startup/lock-poll.js';
import type { LockHolder } from '../startup/lock-poll.js';
import type { LoadedMigration } from './loaded-migration.js';

export type MigrationDirection = 'up' | 'down';

/** What happens while migrations run. */
export type MigrationProgress =
  /** Another process holds the migration lock. Reported once for each holder. */
  | { readonly type: 'waiting'; readonly holder: LockHolder | undefined }
  | {
      readonly type: 'started';
      readonly direction: MigrationDirection;
      readonly migration: LoadedMigration;
    }
  /** The migration was rolled back, since it did not get a lock in time, and is tried again. */
  | {
      readonly type: 'retrying';
      readonly migration: LoadedMigration;
      /** The number of the attempt that has failed, from 1 on. */
      readonly attempt: number;
      readonly error: Error;
    }
  /** The migration was committed. With the mode `all` this follows the last migration. */
  | {
      readonly type: 'finished';
      readonly direction: MigrationDirection;
      readonly migration: LoadedMigration;
      readonly ms: number;
    }
  | { readonly type: 'warning'; readonly message: string };

/** Writes a line for each migration, and for what else happens. */
export function logProgress(logger: DatabaseLogger, database: string): (progress: MigrationProgress) => void {
  return (progress) => {
    switch (progress.type) {
      case 'waiting':
        return logger.log(lockWaitText(`database "${database}"`, progress.holder));
      case 'started':
        return logger.debug(
          `${progress.direction === 'up' ? 'Migration' : 'The revert of migration'} ${progress.migration.name} begins.`,
        );
      case 'retrying':
        return logger.warn(
          `Migration ${progress.migration.name} was rolled back at attempt ${progress.attempt} and is tried again: ${progress.error.message}`,
        );
      case 'finished':
        return logger.log(
          `Migration ${progress.migration.name} ${progress.direction === 'up' ? 'executed' : 'reverted'} in ${duration(progress.ms)}`,
        );
      case 'warning':
        return logger.warn(progress.message);
    }
  };
}
