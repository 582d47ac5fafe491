import { execFile } from 'node:child_process';
import type { ExecFileException } from 'node:child_process';
import { cpSync, readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { basename, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { createTestDatabase } from '../support/database.js';
import type { TestDatabase } from '../support/database.js';
import { missingInternals, typeOrmVersion } from '../support/typeorm-contract.js';
import { TemporaryFolder } from '../support/temporary-folder.js';
import { installPackage, linkModules } from '../package/consumer.js';
import type { Manifest } from '../package/consumer.js';
import { itFollowsTheReadme } from '../package/quick-start.js';

const source = fileURLToPath(new URL('./consumer/', import.meta.url));

interface Report {
  testResults: {
    name: string;
    message: string;
    assertionResults: { fullName: string; status: string; failureMessages: string[] }[];
  }[];
}

/** The app in `consumer/` with what its lock file names, Nest 11 and TypeORM 0.3, and the packed package. */
describe('the packed package in a CommonJS app on Nest 11 and TypeORM 0.3', () => {
  let folder: TemporaryFolder;
  let database: TestDatabase;
  let manifest: Manifest;

  /** Runs a program in the app's folder. */
  const run = (program: string, parameters: string[], env: NodeJS.ProcessEnv = process.env) =>
    new Promise<{ failed: ExecFileException | null; output: string }>((resolve) => {
      // Without the options that Jest runs ES modules by here.
      const options = { cwd: folder.path, maxBuffer: 2 ** 26, env: { ...env, NODE_OPTIONS: '' } };
      execFile(program, parameters, options, (failed, stdout, stderr) =>
        resolve({ failed, output: stdout + stderr }),
      );
    });

  beforeAll(async () => {
    folder = TemporaryFolder.create('nest11');
    // A checkout may have been installed in place; what is tested is what the lock file says.
    cpSync(source, folder.path, { recursive: true, filter: (path) => basename(path) !== 'node_modules' });
    const flags = ['--ignore-scripts', '--prefer-offline', '--no-audit', '--no-fund'];
    const { failed, output } = await run('npm', ['ci', ...flags]);
    if (failed) throw new Error(`npm ci failed: ${output}`);
    manifest = installPackage(folder.path);
    linkModules(folder.path, Object.keys(manifest.dependencies ?? {}));
    database = await createTestDatabase();
  }, 180_000);

  // As many files as were installed; a busy disk takes its time for them.
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
        ['data-source', 'health', 'module', 'request', 'traps', 'typeorm-module'].map(
          (name) => `${name}.test.ts`,
        ),
      ),
    );
  }, 120_000);

  itFollowsTheReadme(11, 'commonjs', () => ({ folder, manifest }));

  // With declarations checked (skipLibCheck: false) where that differs: node16 reads the same ones as nodenext.
  it.each(['nodenext', 'node16', 'node10'])(
    'has types that resolve for CommonJS with moduleResolution %s',
    async (resolution) => {
      const config = resolution === 'nodenext' ? 'tsconfig.json' : `tsconfig.${resolution}.json`;
      const compiler = join('node_modules', 'typescript', 'bin', 'tsc');
      const { output } = await run(process.execPath, [compiler, '-p', config, '--pretty', 'false']);
      // Declarations of others are compiled as well, so that ours are, but are not our concern.
      const complaints = output.split('\n').filter((line) => line !== '' && !isOthers(line));
      expect(complaints).toEqual([]);
    },
    60_000,
  );
});

function isOthers(complaint: string): boolean {
  return complaint.startsWith('node_modules/') && !complaint.startsWith('node_modules/nestjs-database/');
}

function readReport(path: string, output: string): Report {
  try {
    return JSON.parse(readFileSync(path, 'utf8')) as Report;
  } catch {
    throw new Error(`The app's tests left no report: ${output}`);
  }
}
