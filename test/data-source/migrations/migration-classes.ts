import type { MigrationInterface, QueryRunner } from 'typeorm';

type Step = (runner: QueryRunner) => Promise<unknown>;

/** A class of a migration. The name gets a timestamp of 13 digits: `first` and 1 become `first1700000000001`. */
export function migrationClass(
  name: string,
  number: number,
  up: Step | string | undefined,
  { down, transaction }: { down?: Step | string; transaction?: boolean } = {},
): new () => MigrationInterface {
  const step = (work: Step | string | undefined): Step =>
    typeof work === 'string' ? (runner) => runner.query(work) : (work ?? (() => Promise.resolve()));
  return class implements MigrationInterface {
    name = `${name}${1_700_000_000_000 + number}`;
    transaction = transaction;
    async up(runner: QueryRunner) {
      await step(up)(runner);
    }
    async down(runner: QueryRunner) {
      await step(down)(runner);
    }
  };
}
