#!/usr/bin/env node
import { run } from './commands.js';

// Not process.exit(), which would discard output that a pipe has not yet read.
void run(process.argv.slice(2), process.stdout, process.stderr).then((code) => (process.exitCode = code));
