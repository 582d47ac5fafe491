// Builds the package and the example unless their sources are as they were. `npm start` and `npm test` come by here
// and may run side by side in one folder: a build deletes what the other one is just loading. So builds take turns,
// and who comes second finds nothing to do.
import { spawnSync } from 'node:child_process';
import { existsSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';

const root = fileURLToPath(new URL('..', import.meta.url));
process.chdir(root);

const sources = ['src', 'example', 'test/support', 'scripts'];
const settings = readdirSync('.').filter((name) =>
  /^(tsconfig.*|nest-cli|package-lock|package)\.json$/.test(name),
);
const results = ['dist/esm/index.js', 'dist/cjs/index.js', 'example/dist/example/main.js'];
const note = 'example/dist/built-from';
const lock = 'build.lock';

await takeTurn();
for (const signal of ['SIGINT', 'SIGTERM']) process.on(signal, () => leave(1));
try {
  const inputs = describeInputs();
  if (
    !results.every((path) => existsSync(path)) ||
    !existsSync(note) ||
    readFileSync(note, 'utf8') !== inputs
  ) {
    rmSync('example/dist', { recursive: true, force: true });
    run('npm', ['run', '--silent', 'build']);
    run(process.execPath, ['node_modules/typescript/bin/tsc', '-p', 'example/tsconfig.build.json']);
    writeFileSync(note, inputs);
  }
} finally {
  rmSync(lock, { force: true });
}

/** Every input with its size and the time of its last change: a file that was removed is noticed too. */
function describeInputs() {
  const files = sources.flatMap((folder) =>
    readdirSync(folder, { recursive: true })
      .map((name) => join(folder, name))
      .filter((path) => !path.startsWith(join('example', 'dist')) && statSync(path).isFile()),
  );
  return [...files, ...settings]
    .sort()
    .map((path) => `${path} ${statSync(path).size} ${statSync(path).mtimeMs}\n`)
    .join('');
}

function run(program, parameters) {
  const { status, error } = spawnSync(program, parameters, { stdio: 'inherit' });
  if (error) throw error;
  if (status !== 0) leave(status ?? 1);
}

function leave(status) {
  rmSync(lock, { force: true });
  process.exit(status);
}

/** Waits for the build of another process, unless that process is gone and has left its lock behind. */
async function takeTurn() {
  for (let waited = 0; ; waited += 100) {
    try {
      writeFileSync(lock, String(process.pid), { flag: 'wx' });
      return;
    } catch (error) {
      if (error.code !== 'EEXIST') throw error;
    }
    const holder = readLock();
    if (holder !== undefined && !isRunning(holder)) rmSync(lock, { force: true });
    else await sleep(100);
    if (waited === 2000) console.log(`Waiting for the build of process ${holder}, which holds ${lock}`);
  }
}

function readLock() {
  try {
    // Empty for the moment between its creation and the writing of the number.
    return Number(readFileSync(lock, 'utf8')) || undefined;
  } catch {
    return undefined;
  }
}

function isRunning(pid) {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return error.code === 'EPERM';
  }
}
