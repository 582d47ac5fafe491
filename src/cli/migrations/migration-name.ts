import { CommandError } from '../../errors/command.error.js';

/** The names of a new migration. */
export interface MigrationName {
  /** `AddUsers1716200000000`; also the name in the table of executed migrations. */
  readonly className: string;
  /** `1716200000000-add-users`, without extension. */
  readonly fileName: string;
}

/**
 * The names of a migration that is called `AddUsers`, `add-users` or `add users`.
 *
 * @param timestamp milliseconds since 1970, which order the migrations
 * @throws CommandError for anything but letters, digits, `-`, `_` and spaces
 */
export function migrationName(given: string | undefined, timestamp: number): MigrationName {
  if (given === undefined)
    throw new CommandError('usage', 'The name of the migration is missing, for example AddUsers.');
  if (!/^[A-Za-z][\w -]{0,99}$/.test(given))
    throw new CommandError(
      'usage',
      'The name of a migration consists of letters, digits, - and _, and begins with a letter.',
      /[/\\]/.test(given) ? 'Name the folder with --dir.' : undefined,
    );
  const words = given
    .replace(/([a-z\d])([A-Z])/g, '$1 $2')
    .replace(/([A-Z])([A-Z][a-z])/g, '$1 $2')
    .split(/[\s_-]+/)
    .filter((word) => word !== '');
  const pascal = words.map((word) => word[0]!.toUpperCase() + word.slice(1)).join('');
  return {
    className: `${pascal}${timestamp}`,
    fileName: `${timestamp}-${words.join('-').toLowerCase()}`,
  };
}
