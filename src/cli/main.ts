#!/usr/bin/env node
import { run } from './commands.js';

// Not process.exit(): output that a pipe has not taken yet would be lost.
void run(process.argv.slice(2), process.stdout, process.stderr).then((code) => (process.exitCode = code));
