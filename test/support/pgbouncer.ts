import { spawn } from 'node:child_process';
import type { ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { chownSync, closeSync, existsSync, mkdtempSync, openSync, readFileSync } from 'node:fs';
import { chmod, chown, writeFile } from 'node:fs/promises';
import { delimiter, join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { freePort } from './ports.js';
import { accountForServer, reachableTemporaryFolder } from './postgres-binaries.js';
import type { Account } from './postgres-binaries.js';
import { Watchdog } from './watchdog.js';

export type PoolMode = 'session' | 'transaction' | 'statement';

export interface PgBouncerOptions {
  /** The database behind it, as a URL with user and password: those are what its clients log in with, too. */
  url: string;
  mode: PoolMode;
  /** Lines of pgbouncer.ini, such as `{ default_pool_size: 2 }`. */
  settings?: Record<string, string | number>;
}

/** Where the program is; undefined when it is not installed. Debian puts it where ordinary users don't look. */
export function pgBouncerBinary(): string | undefined {
  const folders = [...(process.env.PATH ?? '').split(delimiter), '/usr/sbin', '/usr/local/sbin'];
  return folders.map((folder) => join(folder, 'pgbouncer')).find((path) => existsSync(path));
}

/** A real PgBouncer in a temporary folder, on 127.0.0.1, before one server. It ends with this process at the latest. */
export async function startPgBouncer(options: PgBouncerOptions): Promise<PgBouncer> {
  return PgBouncer.create(options);
}

export class PgBouncer {
  private process: ChildProcess | undefined;
  private currentPort = 0;

  private constructor(
    private readonly folder: string,
    private readonly account: Account,
    private readonly watchdog: Watchdog,
    private readonly binary: string,
    private readonly options: PgBouncerOptions,
  ) {}

  static async create(options: PgBouncerOptions): Promise<PgBouncer> {
    const binary = pgBouncerBinary();
    if (binary === undefined)
      throw new Error('PgBouncer is not installed: scripts/install-test-tools.sh does it');
    // It refuses to run as root, as PostgreSQL does.
    const account = accountForServer();
    const name = 'nestjs-database-';
    const folder = mkdtempSync(join(reachableTemporaryFolder(account, `/${name}XXXXXX`.length), name));
    const watchdog = Watchdog.over(folder);
    try {
      if (account) chownSync(folder, account.uid, account.gid);
      const bouncer = new PgBouncer(folder, account, watchdog, binary, options);
      await bouncer.startOnAnyPort();
      return bouncer;
    } catch (error) {
      await watchdog.release();
      throw error;
    }
  }

  get port(): number {
    return this.currentPort;
  }

  /** The database behind it, for the same user, by way of this pooler. */
  get url(): string {
    const url = new URL(this.options.url);
    url.host = `127.0.0.1:${this.port}`;
    return url.href;
  }

  /** What it has logged since it was last started. */
  get log(): string {
    return readFileSync(join(this.folder, 'log'), 'utf8');
  }

  private async startOnAnyPort(): Promise<void> {
    for (let attempt = 1; ; attempt += 1) {
      this.currentPort = await freePort();
      try {
        await this.start();
        return;
      } catch (error) {
        const taken = error instanceof Error && error.message.includes('in use');
        if (!taken || attempt === 10) throw error;
      }
    }
  }

  /** Starts it, also again on the same port, and resolves when it takes clients. */
  async start(): Promise<void> {
    if (this.process) throw new Error('PgBouncer runs already');
    await this.writeConfiguration();
    await this.writeOwn('log', '');
    const log = openSync(join(this.folder, 'log'), 'a');
    const child = spawn(this.binary, [join(this.folder, 'pgbouncer.ini')], {
      ...this.account,
      cwd: this.folder,
      env: { LC_ALL: 'C', TZ: 'UTC' },
      detached: true,
      stdio: ['ignore', log, log],
    });
    closeSync(log);
    child.unref();
    this.process = child;
    const { pid } = child;
    const gone = () => {
      if (this.process === child) this.process = undefined;
      if (pid !== undefined) this.watchdog.ended(pid);
    };
    child.once('exit', gone).once('error', gone);
    // QUIT is its immediate stop; INT would wait for the clients.
    if (pid !== undefined) this.watchdog.started(pid, 'QUIT');
    // It listens before it says this; no event tells.
    while (!this.log.includes('process up')) {
      if (this.process !== child) throw new Error(`PgBouncer did not start:\n${this.log}`);
      await sleep(10);
    }
  }

  /** Ends it at once: its clients see their sockets close. */
  async stop(): Promise<void> {
    const running = this.process;
    if (!running) return;
    running.ref();
    const gone = once(running, 'exit');
    running.kill('SIGKILL');
    await gone;
  }

  /** Ends it and removes its folder. */
  async dispose(): Promise<void> {
    await this.stop();
    await this.watchdog.release();
  }

  private async writeConfiguration(): Promise<void> {
    const { url, mode, settings } = this.options;
    const { hostname, port, username, password } = new URL(url);
    // In plain text: it logs in at the server with it, by scram too.
    await this.writeOwn('users.txt', `"${decodeURIComponent(username)}" "${decodeURIComponent(password)}"\n`);
    const lines = {
      listen_addr: '127.0.0.1',
      listen_port: this.port,
      // None: its socket in /tmp would outlive it.
      unix_socket_dir: '',
      auth_type: 'scram-sha-256',
      auth_file: join(this.folder, 'users.txt'),
      pool_mode: mode,
      default_pool_size: 5,
      max_client_conn: 500,
      ...settings,
    };
    const text = Object.entries(lines).map(([name, value]) => `${name} = ${value}`);
    await this.writeOwn(
      'pgbouncer.ini',
      `[databases]\n* = host=${hostname} port=${port}\n\n[pgbouncer]\n${text.join('\n')}\n`,
    );
  }

  private async writeOwn(name: string, text: string): Promise<void> {
    const path = join(this.folder, name);
    await writeFile(path, text, { mode: 0o600 });
    await chmod(path, 0o600);
    if (this.account) await chown(path, this.account.uid, this.account.gid);
  }
}
