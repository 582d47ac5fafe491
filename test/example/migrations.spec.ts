import { spawnSync } from 'node:child_process';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { createTestDatabase } from '../support/database.js';
import type { TestDatabase } from '../support/database.js';
import { root, RunningExample } from './running-example.js';

/** Runs a command of the built package on the data source of the example. */
function nestjsDatabase(parameters: string[], url: string) {
  const dataSource = ['--data-source', 'example/dist/example/data-source.js'];
  const { status, stdout, stderr } = spawnSync(
    process.execPath,
    ['dist/esm/cli/main.js', ...parameters, ...dataSource],
    { cwd: root, encoding: 'utf8', env: { ...process.env, NODE_OPTIONS: '', DB_URL: url } },
  );
  return { status, stdout, stderr };
}

describe('The migrations of the example', () => {
  let database: TestDatabase;

  beforeAll(async () => {
    expect(spawnSync(process.execPath, ['scripts/build-once.mjs'], { cwd: root }).status).toBe(0);
    database = await createTestDatabase();
  }, 120_000);
  afterAll(() => database.drop());

  it('are executed by its start, and by the commands on its data source', async () => {
    const example = await RunningExample.start({ DB_URL: database.url });
    await example.stop('SIGINT');
    const executed = '✔ executed  CreateUsers1760000000000\n✔ executed  IndexBalances1760000100000\n';
    expect(nestjsDatabase(['migration:show'], database.url).stdout).toContain(executed);
    expect(nestjsDatabase(['migration:check'], database.url)).toEqual({
      status: 0,
      stdout: 'No migration is pending, and the entities agree with the schema.\n',
      stderr: '',
    });
    for (let count = 0; count < 2; count += 1)
      expect(nestjsDatabase(['migration:revert'], database.url)).toMatchObject({ status: 0 });
    expect(await database.sql("SELECT to_regclass('example_users') AS users")).toEqual([{ users: null }]);
    expect(nestjsDatabase(['migration:run'], database.url).stdout).toMatch(/\n2 migrations executed\.\n$/);
  });

  it('are written as SQL without a connection', () => {
    const { status, stdout } = nestjsDatabase(['migration:sql'], 'postgres://app:none@127.0.0.1:1/none');
    expect(status).toBe(0);
    expect(stdout).toContain('CREATE INDEX CONCURRENTLY example_users_balance ON example_users (balance);');
  });
});
