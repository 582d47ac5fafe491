import { describe, expect, it } from '@jest/globals';
import type { TypeOrmModuleOptions } from '@nestjs/typeorm';
import { DatabaseModule } from 'nestjs-database';
import type { DatabaseModuleOptions } from 'nestjs-database';
import type { DataSourceOptions } from 'typeorm';

/** The compiler checks this file, as part of `npm run lint`. */
describe('options that are typed as options of TypeORM', () => {
  const ofModule: TypeOrmModuleOptions = {
    type: 'postgres',
    url: 'postgres://me@localhost/app',
    autoLoadEntities: true,
    retryAttempts: 3,
    toRetry: () => false,
    ssl: { rejectUnauthorized: true },
  };
  const ofTypeOrm: DataSourceOptions = {
    type: 'postgres',
    host: 'localhost',
    entities: [],
    ssl: { ca: ['-----BEGIN CERTIFICATE-----'] },
  };
  const returned = (): Extract<DataSourceOptions, { type: 'postgres' }> => ofTypeOrm;

  it('compile in forRoot and forRootAsync', () => {
    const modules = [
      DatabaseModule.forRoot(ofModule),
      DatabaseModule.forRoot(ofTypeOrm),
      DatabaseModule.forRoot(returned()),
      DatabaseModule.forRootAsync({ useFactory: () => ofModule }),
      DatabaseModule.forRootAsync({ useFactory: async () => Promise.resolve(ofTypeOrm) }),
      DatabaseModule.forRootAsync({ useFactory: returned }),
    ];
    expect(modules.map(({ module }) => module)).toEqual(modules.map(() => DatabaseModule));
  });

  it('do not compile if they are wrong', () => {
    const wrong: DatabaseModuleOptions[] = [
      // @ts-expect-error the size of a pool is a number
      { pool: { size: 'many' } },
      // @ts-expect-error the only database is PostgreSQL
      { type: 'mysql' },
      // @ts-expect-error the option is pool.size
      { poolSize: 5 },
      // The parameter has its type.
      { toRetry: (error) => error instanceof Error },
    ];
    expect(wrong).toHaveLength(4);
  });
});
