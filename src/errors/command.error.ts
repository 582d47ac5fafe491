/** What kind of mistake a command found: in the command line, or in a file that it names or finds. */
export type CommandMistake = 'usage' | 'file';

/** A command of the command line cannot begin. It is printed, and never thrown to an app. */
export class CommandError extends Error {
  readonly mistake: CommandMistake;
  declare readonly hint?: string;

  constructor(mistake: CommandMistake, message: string, hint?: string) {
    super(message);
    this.name = 'CommandError';
    this.mistake = mistake;
    if (hint !== undefined) this.hint = hint;
  }
}
