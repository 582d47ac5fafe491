import { durationIn } from '../../config/settings/durations.js';
import type { MigrationTransactionMode } from '../../data-source/migrations/migrator.js';
import { CommandError } from '../../errors/command.error.js';
import type { Arguments, OptionSpec } from '../arguments.js';

const DEFAULT_LOCK_TIMEOUT_MS = 60_000;
const MODES = ['all', 'each', 'none'] as const;

export const JSON_OPTION: OptionSpec = { help: 'prints one JSON document at the end' };

export const TRANSACTION_OPTION: OptionSpec = {
  value: 'MODE',
  help: 'all: one transaction for all migrations; each: one for each; none;\ndefault: migrationsTransactionMode of the data source, or each',
};

export const LOCK_TIMEOUT_OPTION: OptionSpec = {
  value: 'TIME',
  help: 'longest wait for another process that migrates: 500ms, 60s, 5m; default: 60s',
};

export function transactionMode(args: Arguments): { transaction?: MigrationTransactionMode } {
  const transaction = args.oneOf('transaction', MODES);
  return transaction === undefined ? {} : { transaction };
}

/** @throws CommandError for a text that is no duration */
export function lockTimeoutMs(args: Arguments): number {
  const text = args.get('lock-timeout');
  if (text === undefined) return DEFAULT_LOCK_TIMEOUT_MS;
  const ms = durationIn(text);
  if (ms === undefined)
    throw new CommandError(
      'usage',
      '--lock-timeout takes a duration such as 500ms, 60s or 5m; a number is seconds.',
    );
  return ms;
}
