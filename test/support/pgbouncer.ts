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
  /** The database behind the pooler, as a URL. Clients of the pooler log in with the same user and password. */
  url: string;
  mode: PoolMode;
  /** Lines of pgbouncer.ini, such as `{ default_pool_size: 2 }`. */
  settings?: Record<string, string | number>;
}

/** The path of the program; undefined if it is not installed. Debian installs it in /usr/sbin, which may not be in PATH. */
export function pgBouncerBinary(): string | undefined {
  const folders = [...(process.env.PATH ?? '').split(delimiter), '/usr/sbin', '/usr/local/sbin'];
  return folders.map((folder) => join(folder, 'pgbouncer')).find((path) => existsSync(path));
}

/** A real PgBouncer in a temporary folder, on 127.0.0.1, for one server. It ends with this process at the latest. */
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
      throw new Error('PgBouncer is not installed: run scripts/install-test-tools.sh');
    // PgBouncer refuses to run as root, as PostgreSQL does.
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

  /** The URL of the database through this pooler, for the same user. */
  get url(): string {
    const url = new URL(this.options.url);
    url.host = `127.0.0.1:${this.port}`;
    return url.href;
  }

  /** The log since the last start. */
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

  /** Starts the pooler, always on the same port. Resolves when it accepts clients. */
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
    // QUIT stops it immediately; INT would wait for the clients.
    if (pid !== undefined) this.watchdog.started(pid, 'QUIT');
    // It polls the log: PgBouncer writes this line once it listens.
    while (!this.log.includes('process up')) {
      if (this.process !== child) throw new Error(`PgBouncer did not start:\n${this.log}`);
      await sleep(10);
    }
  }

  /** Stops the pooler immediately: its clients see their sockets close. */
  async stop(): Promise<void> {
    const running = this.process;
    if (!running) return;
    running.ref();
    const gone = once(running, 'exit');
    running.kill('SIGKILL');
    await gone;
  }

  /** Stops the pooler and removes its folder. */
  async dispose(): Promise<void> {
    await this.stop();
    await this.watchdog.release();
  }

  private async writeConfiguration(): Promise<void> {
    const { url, mode, settings } = this.options;
    const { hostname, port, username, password } = new URL(url);
    // In plain text: the pooler also logs in to the server with it, for which SCRAM needs the password itself.
    await this.writeOwn('users.txt', `"${decodeURIComponent(username)}" "${decodeURIComponent(password)}"\n`);
    const lines = {
      listen_addr: '127.0.0.1',
      listen_port: this.port,
      // No Unix socket: in /tmp it would outlive the pooler.
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
