#!/usr/bin/env node
import { run } from './commands.js';

// Not exit(): what is still to be written to a pipe would be lost.
void run(process.argv.slice(2), process.stdout, process.stderr).then((code) => (process.exitCode = code));
