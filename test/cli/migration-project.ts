import { execFile, execFileSync, spawn } from 'node:child_process';
import type { ChildProcess } from 'node:child_process';
import { mkdirSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { linkModules } from '../package/consumer.js';
import { TemporaryFolder } from '../support/temporary-folder.js';

const root = fileURLToPath(new URL('../../', import.meta.url));
const MAIN = join(root, 'dist/esm/cli/main.js');
const TYPEORM = join(root, 'node_modules/typeorm/cli.js');

export interface Finished {
  readonly code: number;
  readonly out: string;
  readonly err: string;
}

/** The folder of an app that has installed this package: its files, its database, and the programs that it runs. */
export class MigrationProject {
  readonly #temporary = TemporaryFolder.create('migrations');
  readonly folder = this.#temporary.path;
  readonly #url: string;

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

  /** Runs `nestjs-database` in the folder, without a terminal. */
  run(...args: string[]): Promise<Finished> {
    return this.#start([MAIN, ...args], { DB_URL: this.#url });
  }

  /** Runs `nestjs-database` without any variable that names a database. */
  runWithoutDatabase(...args: string[]): Promise<Finished> {
    return this.#start([MAIN, ...args], {});
  }

  /** Starts `nestjs-database` in the folder, without any variable that names a database, for a test that ends it. */
  start(...args: string[]): ChildProcess {
    const options = { cwd: this.folder, env: { PATH: process.env.PATH }, stdio: 'ignore' } as const;
    return spawn(process.execPath, [MAIN, ...args], options);
  }

  /** Runs the command line of TypeORM. */
  typeorm(...args: string[]): Promise<Finished> {
    return this.#start([TYPEORM, ...args], { DB_URL: this.#url });
  }

  remove(): Promise<void> {
    return this.#temporary.remove();
  }

  #start(args: string[], env: Record<string, string>): Promise<Finished> {
    const password = new URL(this.#url).password;
    return new Promise((resolve, reject) => {
      const options = { cwd: this.folder, env: { PATH: process.env.PATH, ...env } };
      const child = execFile(process.execPath, args, options, (error, out, err) => {
        if ((out + err).includes(password))
          reject(new Error(`The output contains the password: ${out}${err}`));
        else resolve({ code: error ? Number(error.code) : 0, out, err });
      });
      child.stdin?.end();
    });
  }
}
