// Runs the built program many times in one process. A start of its own mostly loads Nest and TypeORM; here each run evaluates the program
// anew and finds them loaded. A message is `{ args, env }`, its answer `{ code, out, err }`. Files that the program imports are evaluated
// once: a test that changes one needs another name, or a process of its own.
import { pathToFileURL } from 'node:url';

const [, , program] = process.argv;
const { stdout, stderr } = process;
const streams = { stdout, stderr };
const original = { exit: process.exit, stdout: stdout.write, stderr: stderr.write };
/** Events to which the program listens for the rest of its process. */
const EVENTS = ['uncaughtException', 'SIGINT', 'SIGTERM', 'SIGHUP', 'exit', 'beforeExit'];
let runs = 0;

async function run({ args, env }) {
  process.argv = [process.execPath, program, ...args];
  for (const name of Object.keys(process.env)) delete process.env[name];
  Object.assign(process.env, env);
  const written = { stdout: '', stderr: '' };
  for (const [name, stream] of Object.entries(streams))
    stream.write = (text, encoding, done) => {
      written[name] += text;
      [encoding, done].find((each) => typeof each === 'function')?.();
      return true;
    };
  const ended = new Promise((resolve) => {
    process.exit = resolve;
  });
  const evaluated = import(`${pathToFileURL(program).href}?run=${(runs += 1)}`);
  const code = await Promise.race([ended, evaluated.then(() => ended)]);
  for (const event of EVENTS) process.removeAllListeners(event);
  for (const [name, stream] of Object.entries(streams)) {
    stream.removeAllListeners('error');
    stream.write = original[name];
  }
  process.exit = original.exit;
  return { code, out: written.stdout, err: written.stderr };
}

process.on('message', async (message) => process.send(await run(message)));
process.on('disconnect', () => original.exit.call(process, 0));
