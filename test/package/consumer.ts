import { execFileSync, spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, readFileSync, readdirSync, symlinkSync, writeFileSync } from 'node:fs';
import { dirname, join, relative } from 'node:path';
import { fileURLToPath } from 'node:url';
import { TemporaryFolder } from '../support/temporary-folder.js';

const root = fileURLToPath(new URL('../../', import.meta.url));

export interface Manifest {
  version: string;
  main: string;
  module: string;
  types: string;
  exports: unknown;
  typesVersions: unknown;
  bin?: unknown;
  dependencies?: Record<string, string>;
  peerDependencies?: Record<string, string>;
  peerDependenciesMeta?: Record<string, { optional?: boolean }>;
}

/** Packs the package and unpacks it among the modules of the project in this folder. */
export function installPackage(folder: string): Manifest {
  // Jest does not build the package; after `npm test`, it is built already.
  execFileSync(process.execPath, ['scripts/build-once.mjs'], { cwd: root });
  const packed = execFileSync(
    'npm',
    ['pack', '--json', '--ignore-scripts', '--silent', '--pack-destination', folder],
    { cwd: root, encoding: 'utf8', env: { ...process.env, NODE_OPTIONS: '' } },
  );
  const [{ filename }] = Object.values(JSON.parse(packed)) as [{ filename: string }];
  const installed = join(folder, 'node_modules', 'nestjs-database');
  mkdirSync(installed, { recursive: true });
  execFileSync('tar', ['-xzf', join(folder, filename), '-C', installed, '--strip-components=1']);
  return readManifest(installed);
}

/** Links the modules of the checkout that the project in this folder has not installed. */
export function linkModules(folder: string, names: readonly string[]): void {
  for (const name of names) {
    const target = join(folder, 'node_modules', name);
    if (existsSync(target)) continue;
    mkdirSync(dirname(target), { recursive: true });
    symlinkSync(join(root, 'node_modules', name), target);
  }
}

function readManifest(folder: string): Manifest {
  return JSON.parse(readFileSync(join(folder, 'package.json'), 'utf8')) as Manifest;
}

/**
 * A project that has installed the packed package. It has only those modules of the checkout that the package declares, so
 * that an undeclared import fails as it would for users.
 */
export class Consumer {
  readonly folder: string;

  private constructor(readonly temporary: TemporaryFolder) {
    this.folder = temporary.path;
  }

  /**
   * @param extra further modules of the project, such as an HTTP platform or the compiler
   * @param optional whether it has installed the optional peers
   */
  static async create(extra: string[], optional = true): Promise<Consumer> {
    const consumer = new Consumer(TemporaryFolder.create('consumer'));
    const {
      dependencies,
      peerDependencies = {},
      peerDependenciesMeta = {},
    } = installPackage(consumer.folder);
    const peers = Object.keys(peerDependencies).filter(
      (peer) => optional || !peerDependenciesMeta[peer]?.optional,
    );
    linkModules(consumer.folder, [...Object.keys({ ...dependencies }), ...peers, ...extra]);
    return consumer;
  }

  get installed(): string {
    return join(this.folder, 'node_modules', 'nestjs-database');
  }

  get manifest(): Manifest {
    return readManifest(this.installed);
  }

  /** Every file of the package, as a path inside it. */
  get files(): string[] {
    return readdirSync(this.installed, { recursive: true, withFileTypes: true })
      .filter((entry) => entry.isFile())
      .map((entry) => relative(this.installed, join(entry.parentPath, entry.name)))
      .sort();
  }

  write(name: string, text: string): void {
    writeFileSync(join(this.folder, name), text);
  }

  /** Runs a script of this name with Node; the answer is what it printed, as JSON. */
  run<Answer = unknown>(name: string, script: string, environment: Record<string, string> = {}): Answer {
    this.write(name, script);
    const { stdout, stderr, status } = spawnSync(process.execPath, [name], {
      cwd: this.folder,
      encoding: 'utf8',
      env: { PATH: process.env.PATH, ...environment },
    });
    if (status !== 0) throw new Error(`${name} ended with ${status}:\n${stdout}${stderr}`);
    return JSON.parse(stdout) as Answer;
  }

  /** Runs the package's program, as npm's link to it does; the answer is what it printed, as JSON. */
  program<Answer = unknown>(args: string[], environment: Record<string, string>): Answer {
    const script = join(this.installed, (this.manifest.bin as Record<string, string>)['nestjs-database']!);
    if (!readFileSync(script, 'utf8').startsWith('#!/usr/bin/env node\n')) throw new Error('not a program');
    const env = { PATH: process.env.PATH, ...environment };
    return JSON.parse(execFileSync(process.execPath, [script, ...args], { encoding: 'utf8', env })) as Answer;
  }

  /** The lines that the compiler prints. */
  compile(): string[] {
    const { stdout } = spawnSync(
      process.execPath,
      [join(this.folder, 'node_modules/typescript/bin/tsc'), '--noEmit', '--pretty', 'false'],
      { cwd: this.folder, encoding: 'utf8' },
    );
    return stdout.split('\n').filter((line) => line !== '');
  }

  async remove(): Promise<void> {
    await this.temporary.remove();
  }
}
