/** What is measured: an app on this package, or on one that it is compared with. */
export interface Candidate {
  readonly title: string;
  /** The file in `app/` without its extension, and its argument. */
  readonly app: string;
  readonly variant?: string;
  /** Uses packages that `bench/package.json` installs. */
  readonly installed?: boolean;
}

export const OURS: Candidate = { title: 'nestjs-database', app: 'nestjs-database', variant: 'singleton' };
export const OURS_REQUEST: Candidate = {
  title: 'nestjs-database, per request',
  app: 'nestjs-database',
  variant: 'request',
};
export const TYPEORM: Candidate = { title: '@nestjs/typeorm', app: 'nestjs-typeorm', variant: 'singleton' };
export const TYPEORM_REQUEST: Candidate = {
  title: '@nestjs/typeorm, per request',
  app: 'nestjs-typeorm',
  variant: 'request',
};
export const NEST: Candidate = { title: 'Nest without a database', app: 'nest' };

export const CANDIDATES: readonly Candidate[] = [
  OURS,
  TYPEORM,
  OURS_REQUEST,
  TYPEORM_REQUEST,
  { title: '@nestjs-cls/transactional', app: 'nestjs-cls', installed: true },
  { title: 'pg.Pool', app: 'pg', variant: 'unnamed' },
  { title: 'pg.Pool, named statements', app: 'pg', variant: 'named' },
  { title: 'Drizzle', app: 'drizzle', installed: true },
  { title: 'MikroORM', app: 'mikro-orm', installed: true },
  { title: 'Prisma', app: 'prisma', installed: true },
  NEST,
];
