#!/usr/bin/env node
import { failedCommand, run } from './commands.js';
import { reportEarlyEnd } from './process-end.js';
import { reserveStandardOutput } from './standard-output.js';

const args = process.argv.slice(2);
const out = reserveStandardOutput();
const hasEnded = reportEarlyEnd(failedCommand(args, out, process.stderr));
const exitCode = await run(args, out, process.stderr);
hasEnded();
await out.flush();
// The code of the app that a command has loaded may keep the process alive.
process.exit(exitCode);
