import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { text as readAll } from 'node:stream/consumers';

const TYPESCRIPT = new URL('./typescript.mjs', import.meta.url).href;

/**
 * Runs a module script in a process of its own, which can import TypeScript files.
 * @param env variables in addition to those of this process
 */
export async function runScript(
  script: string,
  env: Record<string, string>,
): Promise<{ output: string; exitCode: number | null }> {
  const child = spawn(process.execPath, ['--import', TYPESCRIPT, '--input-type=module', '-e', script], {
    // The options of Jest are not those of the script.
    env: { ...process.env, NODE_OPTIONS: '', ...env },
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  const [output, [exitCode]] = await Promise.all([
    readAll(child.stdout),
    once(child, 'exit') as Promise<[number | null]>,
  ]);
  return { output, exitCode };
}
