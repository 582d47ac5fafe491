import { execFile } from 'node:child_process';
import type { ExecFileException } from 'node:child_process';
import { cpSync, readFileSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { basename, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import ts from 'typescript';
import { createTestDatabase } from '../support/database.js';
import type { TestDatabase } from '../support/database.js';
import { missingInternals, typeOrmVersion } from '../support/typeorm-contract.js';
import { dumpOf, runSqlFile } from '../support/dump.js';
import { startPostgres } from '../support/postgres-server.js';
import type { PostgresServer } from '../support/postgres-server.js';
import { describeWithPostgresTools } from '../support/postgres-tools.js';
import { TemporaryFolder } from '../support/temporary-folder.js';
import { installPackage, linkModules } from '../package/consumer.js';
import type { Manifest } from '../package/consumer.js';
import { itFollowsTheReadme } from '../package/quick-start.js';

const source = fileURLToPath(new URL('./consumer/', import.meta.url));

const DATA_SOURCE = `
const { createDataSource } = require('nestjs-database');
const { Person, TWENTY_MIGRATIONS } = require('./migrations.js');
exports.dataSource = createDataSource({ entities: [Person], migrations: TWENTY_MIGRATIONS, logging: false });
`;

/** Runs the migrations, or reverts all of them. */
const ONLINE = `
Promise.resolve(require('./data-source.js').dataSource).then(async (dataSource) => {
  await dataSource.initialize();
  if (process.argv[2] === 'runMigrations') await dataSource.runMigrations();
  else for (const _ of dataSource.migrations) await dataSource.undoLastMigration();
  await dataSource.destroy();
});
`;

interface Report {
  testResults: {
    name: string;
    message: string;
    assertionResults: { fullName: string; status: string; failureMessages: string[] }[];
  }[];
}

/** Installs the app in `consumer/` from its lock file, with Nest 11 and TypeORM 0.3, and adds the packed package. */
describe('The packed package in a CommonJS app on Nest 11 and TypeORM 0.3', () => {
  let folder: TemporaryFolder;
  let database: TestDatabase;
  let manifest: Manifest;

  /** Runs a program in the app's folder. */
  const run = (program: string, parameters: string[], env: NodeJS.ProcessEnv = process.env) =>
    new Promise<{ failed: ExecFileException | null; output: string }>((resolve) => {
      // Clears the options with which Jest runs ES modules in this process.
      const options = { cwd: folder.path, maxBuffer: 2 ** 26, env: { ...env, NODE_OPTIONS: '' } };
      execFile(program, parameters, options, (failed, stdout, stderr) =>
        resolve({ failed, output: stdout + stderr }),
      );
    });

  beforeAll(async () => {
    folder = TemporaryFolder.create('nest11');
    // Without the modules that may be installed in the checkout: the lock file decides.
    cpSync(source, folder.path, { recursive: true, filter: (path) => basename(path) !== 'node_modules' });
    const flags = ['--ignore-scripts', '--prefer-offline', '--no-audit', '--no-fund'];
    const { failed, output } = await run('npm', ['ci', ...flags]);
    if (failed) throw new Error(`npm ci failed: ${output}`);
    manifest = installPackage(folder.path);
    linkModules(folder.path, Object.keys(manifest.dependencies ?? {}));
    database = await createTestDatabase();
  }, 180_000);

  // Removing all installed files takes long on a busy disk.
  afterAll(async () => {
    await database?.drop();
    await folder?.remove();
  }, 180_000);

  it('finds in TypeORM 0.3 the undocumented parts that the package uses', async () => {
    const load = createRequire(join(folder.path, 'index.js'));
    expect(typeOrmVersion(load)).toMatch(/^0\.3\./);
    expect(await missingInternals(load, typeOrmVersion(load))).toEqual([]);
  });

  it('passes all tests of the app, in CommonJS Jest', async () => {
    const report = join(folder.path, 'report.json');
    const { PATH, HOME } = process.env;
    const { output } = await run('npm', ['test', '--', '--ci', '--json', `--outputFile=${report}`], {
      ...{ PATH, HOME, NODE_ENV: 'test' },
      DB_URL: database.url,
      SUPERUSER_URL: database.superuserUrl,
    });
    const { testResults } = readReport(report, output);
    const tests = testResults.flatMap(({ assertionResults }) => assertionResults);
    expect(testResults.filter(({ assertionResults }) => assertionResults.length === 0)).toEqual([]);
    expect(
      tests
        .filter(({ status }) => status !== 'passed')
        .map(({ fullName, status, failureMessages }) => [fullName, status, ...failureMessages].join('\n')),
    ).toEqual([]);
    expect(new Set(testResults.map(({ name }) => basename(name)))).toEqual(
      new Set(
        ['data-source', 'health', 'migrations', 'module', 'request', 'traps', 'typeorm-module'].map(
          (name) => `${name}.test.ts`,
        ),
      ),
    );
  }, 120_000);

  describeWithPostgresTools('migrated by the file of migration:sql, has a database that', (bin) => {
    let server: PostgresServer;

    beforeAll(async () => {
      server = await startPostgres({ bin });
    });

    afterAll(async () => {
      await server?.dispose();
    });

    it('is the one that was migrated online, up and down', async () => {
      const [online, offline] = [
        await server.createDatabase('online'),
        await server.createDatabase('offline'),
      ];
      const migrations = readFileSync(new URL('../migrations/twenty-migrations.ts', import.meta.url), 'utf8');
      const compilerOptions = { module: ts.ModuleKind.CommonJS, target: ts.ScriptTarget.ES2022 };
      const inFolder = (name: string) => join(folder.path, name);
      writeFileSync(
        inFolder('migrations.js'),
        ts.transpileModule(migrations, { compilerOptions }).outputText,
      );
      writeFileSync(inFolder('data-source.js'), DATA_SOURCE);
      writeFileSync(inFolder('online.js'), ONLINE);
      const node = async (...args: string[]) => {
        const { failed, output } = await run(process.execPath, args, {
          PATH: process.env.PATH,
          DB_URL: online,
        });
        if (failed) throw new Error(output);
        return output;
      };
      const program = 'node_modules/nestjs-database/dist/esm/cli/main.js';
      const psql = async (...args: string[]) => {
        const shadow = ['--shadow', server.urlFor('postgres', 'postgres')];
        await node(
          program,
          'migration:sql',
          '--data-source',
          'data-source.js',
          '--out',
          'out.sql',
          ...shadow,
          ...args,
        );
        await runSqlFile(bin, inFolder('out.sql'), offline);
      };

      await node('online.js', 'runMigrations');
      await psql();
      expect(await dumpOf(bin, offline)).toBe(await dumpOf(bin, online));

      await node('online.js', 'undoLastMigration');
      await psql('--down', '--to', 'Extension');
      await psql('--down', '--from', 'Extension');
      expect(await dumpOf(bin, offline)).toBe(await dumpOf(bin, online));
    }, 120_000);
  });

  itFollowsTheReadme(11, 'commonjs', () => ({ folder, manifest }));

  // With declarations checked (skipLibCheck: false) where they differ: node16 reads the same ones as nodenext.
  it.each(['nodenext', 'node16', 'node10'])(
    'has types that resolve for CommonJS with moduleResolution %s',
    async (resolution) => {
      const config = resolution === 'nodenext' ? 'tsconfig.json' : `tsconfig.${resolution}.json`;
      const compiler = join('node_modules', 'typescript', 'bin', 'tsc');
      const { output } = await run(process.execPath, [compiler, '-p', config, '--pretty', 'false']);
      // Checks the declarations of this package; errors in those of other packages are ignored.
      const errors = output.split('\n').filter((line) => line !== '' && !isOfOtherPackage(line));
      expect(errors).toEqual([]);
    },
    60_000,
  );
});

function isOfOtherPackage(error: string): boolean {
  return error.startsWith('node_modules/') && !error.startsWith('node_modules/nestjs-database/');
}

function readReport(path: string, output: string): Report {
  try {
    return JSON.parse(readFileSync(path, 'utf8')) as Report;
  } catch {
    throw new Error(`The app's tests left no report: ${output}`);
  }
}
