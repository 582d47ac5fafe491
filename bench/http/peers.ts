import { execFileSync } from 'node:child_process';
import { existsSync, readFileSync, writeFileSync } from 'node:fs';

const MARK = 'bench/node_modules/installed.json';
const FILES = ['bench/package-lock.json', 'bench/schema.prisma'];

/** Installs the packages of `bench/package.json` into `bench/node_modules`, unless they are there. */
export function installPeers(): void {
  const wanted = JSON.stringify(FILES.map((file) => readFileSync(file, 'utf8')));
  if (existsSync(MARK) && readFileSync(MARK, 'utf8') === wanted) return;
  const options = { cwd: 'bench', stdio: 'inherit' as const };
  execFileSync('npm', ['ci', '--no-audit', '--no-fund'], options);
  execFileSync('npx', ['prisma', 'generate', '--schema', 'schema.prisma', '--no-hints'], {
    ...options,
    // The engine, a binary that would be downloaded from another server, changes schemas; the client does not use it.
    env: { ...process.env, PRISMA_SCHEMA_ENGINE_BINARY: process.execPath },
  });
  writeFileSync(MARK, wanted);
}
