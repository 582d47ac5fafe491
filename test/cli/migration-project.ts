import { execFileSync, fork, spawn } from 'node:child_process';
import type { ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { mkdirSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { text as readAll } from 'node:stream/consumers';
import { fileURLToPath } from 'node:url';
import { linkModules } from '../package/consumer.js';
import { TemporaryFolder } from '../support/temporary-folder.js';

const root = fileURLToPath(new URL('../../', import.meta.url));
const PROGRAM = join(root, 'dist/esm/cli/main.js');
const RUNNER = fileURLToPath(new URL('program-runner.mjs', import.meta.url));
const TYPEORM = join(root, 'node_modules/typeorm/cli.js');

export interface Finished {
  /** The exit code, or the signal that has ended the process. */
  readonly code: number | NodeJS.Signals;
  readonly out: string;
  readonly err: string;
}

/** The folder of an app that has installed this package: its files, its database, and the programs that it runs. */
export class MigrationProject {
  readonly #temporary = TemporaryFolder.create('migrations');
  readonly folder = this.#temporary.path;
  readonly #url: string;
  #shared: ChildProcess | undefined;
  #lastRun: Promise<unknown> = Promise.resolve();

  constructor(url: string, type: 'module' | 'commonjs') {
    // Jest does not build the package; after `npm test`, it is built already.
    execFileSync(process.execPath, ['scripts/build-once.mjs'], { cwd: root });
    this.#url = url;
    this.write('package.json', JSON.stringify({ name: 'shop', type }));
    this.write('.prettierrc', JSON.stringify({ singleQuote: true, printWidth: 110 }));
    linkModules(this.folder, ['typeorm', 'reflect-metadata', '@nestjs', 'prettier', '@swc']);
    symlinkSync(root, join(this.folder, 'node_modules/nestjs-database'));
  }

  write(file: string, text: string): void {
    const path = join(this.folder, file);
    mkdirSync(dirname(path), { recursive: true });
    writeFileSync(path, text);
  }

  read(file: string): string {
    return readFileSync(join(this.folder, file), 'utf8');
  }

  /** Runs `nestjs-database` in the folder, without a terminal, in a process that all runs share. */
  run(...args: string[]): Promise<Finished> {
    return this.#runShared(args, { DB_URL: this.#url });
  }

  /** As `run()`, without any variable that names a database. */
  runWithoutDatabase(...args: string[]): Promise<Finished> {
    return this.#runShared(args, {});
  }

  /** Starts `nestjs-database` in the folder, in a process of its own. */
  start(...args: string[]): { child: ChildProcess; finished: Promise<Finished> } {
    return this.#start([PROGRAM, ...args], { DB_URL: this.#url });
  }

  /** Runs `nestjs-database` in a process of its own. */
  runAlone(...args: string[]): Promise<Finished> {
    return this.start(...args).finished;
  }

  /** As `runAlone()`, without any variable that names a database. */
  runAloneWithoutDatabase(...args: string[]): Promise<Finished> {
    return this.#start([PROGRAM, ...args], {}).finished;
  }

  /** Runs the command line of TypeORM. */
  typeorm(...args: string[]): Promise<Finished> {
    return this.#start([TYPEORM, ...args], { DB_URL: this.#url }).finished;
  }

  async remove(): Promise<void> {
    this.#shared?.kill('SIGKILL');
    await this.#temporary.remove();
  }

  /** One run after another: they share the streams of the process. */
  #runShared(args: string[], env: Record<string, string>): Promise<Finished> {
    const result = this.#lastRun.then(async () => {
      this.#shared ??= fork(RUNNER, [PROGRAM], { cwd: this.folder, execArgv: [], env: {} });
      this.#shared.send({ args, env: { PATH: process.env.PATH, ...env } });
      const [finished] = (await once(this.#shared, 'message')) as [Finished];
      return this.#withoutPassword(finished);
    });
    this.#lastRun = result.catch(() => undefined);
    return result;
  }

  #start(args: string[], env: Record<string, string>) {
    const options = { cwd: this.folder, env: { PATH: process.env.PATH, ...env } };
    const child = spawn(process.execPath, args, { ...options, stdio: ['ignore', 'pipe', 'pipe'] });
    const finished = Promise.all([
      // A test may have closed the pipe.
      readAll(child.stdout).catch(() => ''),
      readAll(child.stderr),
      once(child, 'exit'),
    ]).then(([out, err, [code, signal]]) => {
      return this.#withoutPassword({ code: (code ?? signal) as number | NodeJS.Signals, out, err });
    });
    return { child, finished };
  }

  #withoutPassword(finished: Finished): Finished {
    const { out, err } = finished;
    if ((out + err).includes(new URL(this.#url).password))
      throw new Error(`The output contains the password: ${out}${err}`);
    return finished;
  }
}
