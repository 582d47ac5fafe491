import type { MigrationInterface, QueryRunner } from 'typeorm';

export class IndexBalances1760000100000 implements MigrationInterface {
  // CREATE INDEX CONCURRENTLY does not block writes, and cannot run in a transaction.
  transaction = false;

  async up(runner: QueryRunner): Promise<void> {
    await runner.query('CREATE INDEX CONCURRENTLY example_users_balance ON example_users (balance)');
  }

  async down(runner: QueryRunner): Promise<void> {
    await runner.query('DROP INDEX CONCURRENTLY example_users_balance');
  }
}
