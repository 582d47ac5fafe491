import { execFile, spawn, spawnSync } from 'node:child_process';
import type { ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { basename, dirname, join } from 'node:path';
import { promisify } from 'node:util';
import { expect, it } from '@jest/globals';
import pg from 'pg';
import { blockNamed, blocksUnder } from '../docs/markdown.js';
import { createTestDatabase } from '../support/database.js';
import type { TemporaryFolder } from '../support/temporary-folder.js';
import { linkModules } from './consumer.js';
import type { Manifest } from './consumer.js';

const README = 'README.md';
const EXAMPLE_URL = 'postgres://user:password@localhost:5432/app';

/** Packages of the quick start that `npx @nestjs/cli new` has already installed. */
const NEW_NEST_APP = ['@nestjs/common', '@nestjs/core', 'reflect-metadata', 'rxjs'];

/** The compiler options of a new Nest app, of Nest 11 and 12 together, and `strict`. */
const TSCONFIG = {
  compilerOptions: {
    module: 'nodenext',
    moduleResolution: 'nodenext',
    resolvePackageJsonExports: true,
    esModuleInterop: true,
    isolatedModules: true,
    declaration: true,
    removeComments: true,
    emitDecoratorMetadata: true,
    experimentalDecorators: true,
    allowSyntheticDefaultImports: true,
    target: 'ES2023',
    sourceMap: true,
    outDir: './dist',
    rootDir: './src',
    skipLibCheck: true,
    strict: true,
    types: ['node'],
  },
  include: ['src'],
};

/**
 * The tests of the README's install line and quick start for one Nest version.
 * @param project a folder with the modules that the app finds, and the manifest of the package in it
 */
export function itFollowsTheReadme(
  nest: 11 | 12,
  type: 'commonjs' | 'module',
  project: () => { folder: TemporaryFolder; manifest: Manifest },
): void {
  it(`is installed by the README's line for Nest ${nest}, with all that the quick start imports`, () => {
    const { folder, manifest } = project();
    const { text } = blockNamed(README, `install: Nest ${nest}`, 'sh');
    const [npm, install, tarball, ...named] = text.split(' ');
    expect([npm, install, basename(tarball!)]).toEqual([
      'npm',
      'install',
      `nestjs-database-${manifest.version}.tgz`,
    ]);
    const ranges = named.map((argument) => /^(@?[^@]+)@(\d+(?:\.\d+)*)$/.exec(argument)!.slice(1));
    const installed = (name: string) => versionIn(folder.path, name);
    const unsatisfied = ranges.filter(([name, range]) => !`${installed(name!)}.`.startsWith(`${range}.`));
    expect(unsatisfied).toEqual([]);
    expect(installed('@nestjs/core').split('.')[0]).toBe(String(nest));

    const names = [...NEW_NEST_APP, ...ranges.map(([name]) => name!)];
    const imported = sources().flatMap(({ code }) =>
      [...code.matchAll(/ from '([^.'][^']*)'/g)].map(([, from]) => from!),
    );
    expect(imported).toContain('nestjs-database');
    const needed = new Set([...imported, ...Object.keys(manifest.peerDependencies ?? {})]);
    expect([...needed].filter((name) => name !== 'nestjs-database' && !names.includes(name))).toEqual([]);
  });

  it(`answers the README's requests as the README shows, on Nest ${nest} (${type})`, async () => {
    if (spawnSync('curl', ['--version']).error) {
      const message = `NOT TESTED: the README's requests. curl is not installed; scripts/install-test-tools.sh installs it.`;
      if (process.env.CI) throw new Error(message);
      return console.warn(message);
    }
    const { folder } = project();
    const database = await createTestDatabase();
    let app: QuickStart | undefined;
    try {
      await createTable(database.url);
      app = new QuickStart(folder, type, database.url);
      app.compile();
      await app.start();
      expect(await app.request()).toBe(`${blockNamed(README, 'answers', 'text').text}\n`);
      expect(await app.stop()).toBe('SIGTERM');
      expect(app.output).toContain('[DatabaseModule] Connected to database');
      expect(app.output).not.toMatch(/ERROR|WARN/i);
    } finally {
      await app?.stop();
      await database.drop();
    }
  }, 120_000);
}

/** The files of the quick start: their text and the name in the first line. */
function sources(): { name: string; code: string }[] {
  return blocksUnder(README, 'Quick start', 'ts').map(({ text, line }) => {
    const name = /^\/\/ (src\/\S+)\n/.exec(text)?.[1];
    if (name === undefined) throw new Error(`${README}:${line}: the first line does not name the file`);
    return { name, code: text };
  });
}

function versionIn(folder: string, name: string): string {
  const path = join(folder, 'node_modules', name, 'package.json');
  return (JSON.parse(readFileSync(path, 'utf8')) as { version: string }).version;
}

/** As the user of the URL, like a reader of the README. */
async function createTable(url: string): Promise<void> {
  const [table, ...others] = blocksUnder(README, 'Quick start', 'sql');
  expect(others).toEqual([]);
  const client = new pg.Client(url);
  await client.connect();
  await client.query(table!.text);
  await client.end();
}

/** The quick start as an app inside a project whose modules it finds. */
class QuickStart {
  output = '';
  private readonly folder: string;
  private child: ChildProcess | undefined;
  private closed: Promise<NodeJS.Signals | null> | undefined;

  constructor(
    private readonly temporary: TemporaryFolder,
    type: 'commonjs' | 'module',
    url: string,
  ) {
    this.folder = join(temporary.path, `quick-start-${type}`);
    this.write('package.json', JSON.stringify({ name: 'quick-start', private: true, type }));
    this.write('tsconfig.json', JSON.stringify(TSCONFIG));
    for (const { name, code } of sources()) this.write(name, code);
    const [environment, ...others] = blocksUnder(README, 'Quick start', 'dotenv');
    expect(others).toEqual([]);
    const [, name, settings] = /^# (\S+)\n([^]*)$/.exec(environment!.text) ?? [];
    expect(settings).toBe(`DB_URL=${EXAMPLE_URL}`);
    this.write(name!, settings!.replace(EXAMPLE_URL, url));
    // A new Nest app has the types of Node.js; the project around it need not have them.
    linkModules(this.folder, ['@types/node']);
  }

  private write(name: string, text: string): void {
    const path = join(this.folder, name);
    mkdirSync(dirname(path), { recursive: true });
    writeFileSync(path, text);
  }

  compile(): void {
    const compiler = join(this.temporary.path, 'node_modules', 'typescript', 'bin', 'tsc');
    const { stdout } = spawnSync(process.execPath, [compiler, '--pretty', 'false'], {
      cwd: this.folder,
      encoding: 'utf8',
    });
    expect(stdout).toBe('');
  }

  /** Resolves when the app listens, on a free port. */
  async start(): Promise<void> {
    const child = spawn(process.execPath, ['dist/main.js'], {
      cwd: this.folder,
      env: { PATH: process.env.PATH, NO_COLOR: '1', PORT: '0' },
      detached: true,
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    this.child = child;
    this.temporary.guard(child.pid);
    child.once('exit', () => this.temporary.forget(child.pid));
    // Unlike 'exit', 'close' is emitted after all output has arrived.
    this.closed = once(child, 'close').then(([, signal]) => signal as NodeJS.Signals | null);
    const listening = new Promise<void>((resolve) => {
      for (const stream of [child.stdout, child.stderr])
        stream.setEncoding('utf8').on('data', (text: string) => {
          this.output += text;
          if (this.port !== undefined) resolve();
        });
    });
    const ended = this.closed.then(() => {
      throw new Error(`The app ended:\n${this.output}`);
    });
    await Promise.race([listening, ended]);
  }

  private get port(): string | undefined {
    return /Listening on http:\/\/\S+:(\d+)\n/.exec(this.output)?.[1];
  }

  /** Runs the commands of the README unchanged. A setting of curl maps localhost:3000 to the port of this app. */
  async request(): Promise<string> {
    this.write('.curlrc', `connect-to = "localhost:3000:127.0.0.1:${this.port}"\n`);
    const { stdout } = await promisify(execFile)('sh', ['-ec', blockNamed(README, 'requests', 'sh').text], {
      env: { PATH: process.env.PATH, CURL_HOME: this.folder },
    });
    return stdout;
  }

  /** The signal that ended the app. */
  async stop(): Promise<NodeJS.Signals | null | undefined> {
    if (this.child?.exitCode === null && this.child.signalCode === null) this.child.kill('SIGTERM');
    return this.closed;
  }
}
