import type { FailureCategory } from '../diagnosis/failure-rule.js';

/** Exit codes of the command line. The doctor's exit code follows from its first failure. */
export const EXIT = {
  /** Every check passed; there may be warnings. */
  healthy: 0,
  /** The command line is wrong, or the command itself failed. */
  usage: 1,
  /** The settings are wrong. */
  settings: 2,
  /** The host name, the address, the network, or another program on the port. */
  network: 3,
  /** Encryption or certificates. */
  tls: 4,
  /** User, password, database, or pg_hba.conf. */
  login: 5,
  /** The server, or the pooler in front of it, was reached but did not serve the connection. */
  server: 6,
  /** The file of `--env-file` does not exist or cannot be read. */
  file: 7,
} as const;

export type ExitCode = (typeof EXIT)[keyof typeof EXIT];

/** The doctor's exit code for a failure of this category. */
export const EXIT_CODE_OF: Readonly<Record<FailureCategory, ExitCode>> = {
  network: EXIT.network,
  tls: EXIT.tls,
  login: EXIT.login,
  server: EXIT.server,
  pool: EXIT.server,
  statement: EXIT.server,
  unknown: EXIT.server,
};
