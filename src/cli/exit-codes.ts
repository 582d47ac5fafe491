import type { FailureCategory } from '../diagnosis/failure-rule.js';

/** Exit codes of the command line: the class of the first failure. */
export const EXIT = {
  /** The command has done its work; for the doctor: every check passed, perhaps with warnings. */
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
  /** A file does not exist, or cannot be read, loaded or written. */
  file: 7,
  /** A migration failed, or was refused before it ran. */
  migration: 8,
  /** Another process held the migration lock for the whole lock timeout. */
  locked: 9,
  /** `migration:check` found pending migrations, or entities that differ from the schema. */
  different: 10,
  /** A destructive migration was not allowed. */
  destructive: 11,
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
