import { parseArgs } from 'node:util';
import { nearMiss } from '../config/problems/near-miss.js';
import { CommandError } from '../errors/command.error.js';

/** An option of a command. */
export interface OptionSpec {
  /** What the option takes, for the help: `FILE`. Undefined for a flag. */
  readonly value?: string;
  readonly short?: string;
  readonly isRepeatable?: boolean;
  /** A line for the help. */
  readonly help: string;
}

export type OptionSpecs = Readonly<Record<string, OptionSpec>>;

/** The arguments of a command, read and checked. */
export class Arguments {
  readonly #values: ReadonlyMap<string, readonly string[]>;
  readonly positionals: readonly string[];

  constructor(values: ReadonlyMap<string, readonly string[]>, positionals: readonly string[]) {
    this.#values = values;
    this.positionals = positionals;
  }

  /** Whether a flag or an option is given. */
  has(name: string): boolean {
    return this.#values.has(name);
  }

  /** The value of an option; the last one, if it is given several times. */
  get(name: string): string | undefined {
    return this.#values.get(name)?.at(-1);
  }

  /** All values of an option, in their order. */
  all(name: string): readonly string[] {
    return this.#values.get(name) ?? [];
  }

  /**
   * The value of an option that allows these values only.
   *
   * @throws CommandError for any other value
   */
  oneOf<T extends string>(name: string, allowed: readonly T[]): T | undefined {
    const value = this.get(name);
    if (value === undefined) return undefined;
    const found = allowed.find((candidate) => candidate === value);
    if (found === undefined) throw new CommandError('usage', `--${name} takes ${allowed.join(', ')}.`);
    return found;
  }
}

/**
 * Reads arguments. Messages repeat no argument but the name of an unknown option: any other one may be a URL with a password.
 *
 * @throws CommandError for an unknown option, a missing or superfluous value
 */
export function readArguments(args: readonly string[], specs: OptionSpecs): Arguments {
  const { tokens } = parseArgs({
    args: [...args],
    allowPositionals: true,
    strict: false,
    tokens: true,
    options: Object.fromEntries(
      Object.entries(specs).map(([name, { value, short }]) => [
        name,
        { type: value === undefined ? ('boolean' as const) : ('string' as const), ...(short && { short }) },
      ]),
    ),
  });
  const values = new Map<string, string[]>();
  const positionals: string[] = [];
  for (const token of tokens) {
    if (token.kind === 'positional') positionals.push(token.value);
    if (token.kind !== 'option') continue;
    const spec = Object.hasOwn(specs, token.name) ? specs[token.name] : undefined;
    if (!spec) throw unknownOption(token.name, specs);
    checkValue(token, spec);
    values.set(token.name, [...(values.get(token.name) ?? []), token.value ?? '']);
  }
  for (const [name, given] of values)
    if (given.length > 1 && !specs[name]?.isRepeatable)
      throw new CommandError('usage', `--${name} is given ${given.length} times.`);
  return new Arguments(values, positionals);
}

function checkValue(
  {
    name,
    value,
    inlineValue,
  }: { name: string; value?: string | undefined; inlineValue?: boolean | undefined },
  spec: OptionSpec,
): void {
  if (spec.value === undefined && value !== undefined)
    throw new CommandError('usage', `--${name} takes no value.`);
  if (spec.value === undefined) return;
  // `--to --json`: the next option is not the value.
  if (value === undefined || value === '' || (!inlineValue && value.startsWith('-')))
    throw new CommandError('usage', `--${name} needs a value: --${name} ${spec.value}.`);
}

function unknownOption(name: string, specs: OptionSpecs): CommandError {
  if (!/^[a-z][a-z-]{0,30}$/i.test(name)) return new CommandError('usage', 'An option is unknown.');
  const meant = nearMiss(name, Object.keys(specs));
  const option = `${name.length === 1 ? '-' : '--'}${name}`;
  return new CommandError('usage', `Unknown option ${option}${meant ? `; did you mean --${meant}?` : '.'}`);
}
