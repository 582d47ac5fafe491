import { execFileSync } from 'node:child_process';
import { existsSync, readdirSync } from 'node:fs';
import { join } from 'node:path';

const CACHE = 'node_modules/.cache/bench-nodes';

/** The binary of a version of Node.js (`24`), or the given path. Another version than this is installed from npm's package `node`. */
export function nodeBinary(wanted: string): string {
  if (!/^\d+$/.test(wanted)) return wanted;
  if (process.versions.node.startsWith(`${wanted}.`)) return process.execPath;
  const folder = join(CACHE, wanted);
  const binary = join(folder, 'node_modules/node/bin/node');
  if (!existsSync(binary))
    execFileSync('npm', ['install', '--no-audit', '--no-fund', '--prefix', folder, `node@${wanted}`], {
      stdio: 'inherit',
    });
  return binary;
}

/** This binary and those that were installed before. */
export function defaultNodes(): string[] {
  const installed = existsSync(CACHE) ? readdirSync(CACHE).map(nodeBinary) : [];
  return [...new Set([process.execPath, ...installed])];
}

export function versionOf(binary: string): string {
  return execFileSync(binary, ['--version'], { encoding: 'utf8' }).trim().slice(1);
}
