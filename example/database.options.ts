import type { DatabaseModuleOptions } from 'nestjs-database';
import { CreateUsers1760000000000 } from './migrations/1760000000000-create-users.js';
import { IndexBalances1760000100000 } from './migrations/1760000100000-index-balances.js';

/** The app and the migration commands share these options; all other settings come from the environment. */
export const databaseOptions = {
  migrations: [CreateUsers1760000000000, IndexBalances1760000100000],
  migrationsTableName: 'example_migrations',
} satisfies DatabaseModuleOptions;
