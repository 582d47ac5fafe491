import { execFile, spawn } from 'node:child_process';
import type { ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { readdirSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { childrenOf, ended } from '../support/processes.js';
import { TemporaryFolder } from '../support/temporary-folder.js';

export const root = fileURLToPath(new URL('../../', import.meta.url));

/** The example as a child process in its own process group, as a terminal starts a command. */
export class RunningExample {
  output = '';
  private readonly exited: Promise<{ code: number | null; signal: NodeJS.Signals | null }>;

  private constructor(
    private readonly child: ChildProcess,
    /** Its own folder for temporary files. */
    private readonly temporary: TemporaryFolder,
  ) {
    for (const stream of [child.stdout, child.stderr]) {
      stream?.setEncoding('utf8').on('data', (text: string) => (this.output += text));
    }
    // Unlike 'exit', 'close' is emitted after all output has arrived.
    this.exited = once(child, 'close').then(([code, signal]) => ({ code, signal }));
  }

  /** Runs `npm start` with only those variables of this process that npm needs. */
  static launch(environment: Record<string, string> = {}): RunningExample {
    const temporary = TemporaryFolder.create('example');
    const child = spawn('npm', ['start'], {
      cwd: root,
      env: {
        PATH: process.env.PATH,
        HOME: process.env.HOME,
        TMPDIR: temporary.path,
        NO_COLOR: '1',
        npm_config_update_notifier: 'false',
        ...environment,
      },
      detached: true,
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    temporary.guard(child.pid);
    child.once('exit', () => temporary.forget(child.pid));
    return new RunningExample(child, temporary);
  }

  static async start(environment: Record<string, string> = {}): Promise<RunningExample> {
    const example = RunningExample.launch(environment);
    await example.ready();
    return example;
  }

  /** Resolves when the example has printed the last of its commands. */
  async ready(): Promise<void> {
    const printed = new Promise<void>((resolve) => {
      const look = () => {
        if (/^ {2}curl .*\/users\/2147483647$/m.test(this.output)) resolve();
      };
      this.child.stdout?.on('data', look);
      look();
    });
    const failed = this.exited.then(({ code }) => {
      throw new Error(`The example ended with ${code}:\n${this.output}`);
    });
    await Promise.race([printed, failed]);
  }

  get url(): string {
    return /listens on (http:\S+)\./.exec(this.output)?.[1] ?? '';
  }

  /** The commands that it prints. */
  get lines(): string[] {
    return this.output
      .split('\n')
      .filter((line) => line.startsWith('  curl '))
      .map((line) => line.trim());
  }

  async paste(line: string): Promise<unknown> {
    const { stdout } = await promisify(execFile)('sh', ['-c', line]);
    return JSON.parse(stdout);
  }

  async send(path: string, body?: unknown): Promise<{ status: number; body: unknown }> {
    const response = await fetch(this.url + path, {
      ...(body !== undefined && {
        method: 'POST',
        headers: { 'content-type': 'application/json' },
        body: typeof body === 'string' ? body : JSON.stringify(body),
      }),
    });
    return { status: response.status, body: await response.json() };
  }

  /** The temporary folders of PostgreSQL servers that exist. */
  get servers(): string[] {
    return readdirSync(this.temporary.path).filter((name) => name.startsWith('nestjs-database-'));
  }

  /** Sends the signal, to the whole group as a terminal does or to npm alone, and waits for all processes to end. */
  async stop(signal: NodeJS.Signals, target: 'group' | 'npm' = 'group'): Promise<{ code: number | null }> {
    const pid = this.child.pid ?? 0;
    const processes = withDescendants(pid);
    process.kill(target === 'group' ? -pid : pid, signal);
    const { code } = await this.exited;
    await ended(processes);
    return { code };
  }

  async exit(): Promise<number | null> {
    return (await this.exited).code;
  }

  /** Ends all processes and removes the folder, in any state of the example. */
  async discard(): Promise<void> {
    if (this.child.exitCode === null && this.child.signalCode === null) await this.stop('SIGKILL');
    await this.temporary.remove();
  }
}

export function withDescendants(pid: number): number[] {
  return [pid, ...childrenOf(pid).flatMap(withDescendants)];
}
