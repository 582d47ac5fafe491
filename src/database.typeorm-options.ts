import type { DataSourceOptions } from 'typeorm';
import type { DatabaseSettings } from './database.options.js';

/** TypeORM's options for PostgreSQL. */
export type PostgresOptions = Extract<DataSourceOptions, { type: 'postgres' }>;

type OwnOrFixed = keyof DatabaseSettings | 'driver' | 'nativeDriver' | 'poolSize' | 'connectTimeoutMS';

declare module './database.options.js' {
  // An interface: the compiler would expand a type in the declarations that use it, with the path of a file of TypeORM that only one of
  // its versions has.
  // eslint-disable-next-line @typescript-eslint/no-empty-object-type -- a type cannot be merged
  interface TypeOrmOptions extends Partial<Omit<PostgresOptions, OwnOrFixed | 'type'>> {}
}
