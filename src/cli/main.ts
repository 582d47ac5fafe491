#!/usr/bin/env node
import { run } from './commands.js';

/** Resolves when everything that was written to the stream has been passed on. */
const flushed = (stream: NodeJS.WriteStream) =>
  new Promise<void>((resolve) => stream.write('', () => resolve()));

const exitCode = await run(process.argv.slice(2), process.stdout, process.stderr);
await Promise.all([flushed(process.stdout), flushed(process.stderr)]);
// The code of the app that a command has loaded may keep the process alive.
process.exit(exitCode);
