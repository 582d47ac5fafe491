import { kindOf, shapeOf, spaced } from '../problems/value-shape.js';
import { Secret } from '../secrets/secret.js';
import { hostName } from '../url/host-name.js';
import { durationIn } from './durations.js';

/** The longest delay of a timer, in milliseconds. Node.js fires a timer with a delay above 2 147 483 647 after 1 ms. */
export const LONGEST_TIMER_MS = 2_147_483_000;

/** The values that a setting takes, in code and in an environment variable. */
export interface SettingType {
  /** What is allowed in code, as messages say it after "is not": `a whole number from 1 to 100`. */
  readonly allowed: string;
  /** What is allowed in a variable: `a duration from 1 s to 300 s as 30, 30s, 500ms, 5m or 1h`. */
  readonly allowedText: string;
  /** What the text of a variable holds, when checking it takes a file or the parser of URLs. */
  readonly content?: 'url' | 'certificate' | 'key';
  /** What is wrong with a value in code; never contains a secret. Undefined for an allowed value. */
  problemOf(value: unknown): string | undefined;
  /** The value that the text of a variable stands for. */
  read(text: string): Read<unknown>;
}

/** A value, or what is wrong with the text that should hold it. */
export type Read<T> = { readonly value: T } | { readonly problem: string };

/** Numbers from `min` to `max`. With `off`, 0 is allowed, too, and turns the feature off. */
export interface Bounds {
  readonly min: number;
  readonly max: number;
  readonly off?: true;
}

/** A type whose values are numbers. */
export interface NumberType extends SettingType {
  readonly bounds: Bounds;
  readonly unit: 'count' | 'milliseconds';
}

export const isWithin = (value: number, { min, max, off }: Bounds) =>
  (value >= min && value <= max) || (off === true && value === 0);

export function wholeNumber(min: number, max: number): NumberType {
  const bounds = { min, max };
  return {
    bounds,
    unit: 'count',
    ...plainType({
      allowed: `a whole number from ${min} to ${spaced(max)}`,
      allowedText: `a whole number from ${min} to ${max}`,
      isAllowed: (value) => Number.isInteger(value) && isWithin(value as number, bounds),
      parse: (text) => {
        const value = /^\d{1,15}$/.test(text) ? Number(text) : Number.NaN;
        return isWithin(value, bounds) ? value : undefined;
      },
    }),
  };
}

/** A duration: milliseconds in code, seconds or a number with a unit in a variable. */
export function duration(bounds: Bounds): NumberType {
  const { min, max, off } = bounds;
  const isAllowed = (value: unknown) => Number.isInteger(value) && isWithin(value as number, bounds);
  const seconds = (ms: number) => `${ms / 1_000} s`;
  const least = min < 1_000 ? '0 s' : seconds(min);
  const range = max === LONGEST_TIMER_MS ? `of at least ${least}` : `from ${least} to ${seconds(max)}`;
  return {
    bounds,
    unit: 'milliseconds',
    ...plainType({
      allowed: `a whole number of milliseconds from ${spaced(min)} to ${spaced(max)}${off ? ', or 0 for off' : ''}`,
      allowedText: `a duration ${range}${off ? ', 0 for off,' : ''} as 30, 30s, 500ms, 5m or 1h`,
      isAllowed,
      parse: (text) => {
        const value = off && text.toLowerCase() === 'off' ? 0 : durationIn(text);
        return value !== undefined && isWithin(value, bounds) ? value : undefined;
      },
      // Numbers are milliseconds in code and seconds in a variable. These hints point out a mix-up.
      hint: (value) =>
        typeof value === 'number' && value > 0 && value < min && isWithin(value * 1_000, bounds)
          ? `; ${value} seconds are ${spaced(value * 1_000)}`
          : '',
      hintForText: (text) =>
        /^\d+$/.test(text) && isWithin(Number(text), bounds)
          ? `; a number without a unit is seconds, ${text} milliseconds are ${text}ms`
          : '',
    }),
  };
}

/** A map, since `__proto__` and `constructor` are keys of every object. */
const FLAGS: ReadonlyMap<string, boolean> = new Map([
  ['true', true],
  ['1', true],
  ['yes', true],
  ['on', true],
  ['false', false],
  ['0', false],
  ['no', false],
  ['off', false],
]);

export const flag: SettingType = plainType({
  allowed: 'true or false',
  allowedText: 'true or false (1, 0, yes, no, on, off)',
  isAllowed: (value) => typeof value === 'boolean',
  parse: (text) => FLAGS.get(text.toLowerCase()),
});

export const oneOf = (...values: readonly string[]): SettingType =>
  plainType({
    allowed: `one of ${values.join(', ')}`,
    isAllowed: (value) => values.includes(value as string),
    parse: (text) => values.find((value) => value === text.toLowerCase()),
  });

/** PostgreSQL truncates a longer `application_name` (NAMEDATALEN - 1). */
export const LONGEST_NAME_BYTES = 63;

const isApplicationName = (text: string) => {
  const bytes = Buffer.byteLength(text, 'utf8');
  return bytes >= 1 && bytes <= LONGEST_NAME_BYTES;
};

export const applicationName: SettingType = plainType({
  allowed: `a name of 1 to ${LONGEST_NAME_BYTES} bytes`,
  isAllowed: (value) => typeof value === 'string' && isApplicationName(value),
  parse: (text) => (isApplicationName(text) ? text : undefined),
});

export const callback: SettingType = plainType({
  allowed: 'a function',
  isAllowed: (value) => typeof value === 'function',
});

/** The type of a group itself; its settings have their own types. */
export const group: SettingType = plainType({
  allowed: 'a group of settings: { … }',
  isAllowed: isGroup,
});

export function isGroup(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

export const serverList: SettingType = plainType({
  allowed: 'a list of servers: [{ url }, …]',
  isAllowed: Array.isArray,
});

/** The value of a setting of PostgreSQL. */
export const sessionValue: SettingType = secretType({
  allowed: 'a string, a number, true or false',
  isAllowed: (value) =>
    typeof value === 'string' || typeof value === 'boolean' || (typeof value === 'number' && isFinite(value)),
});

/** A name that only the server can check. A wrong value may be a secret. */
export const name = (allowed: string): SettingType =>
  secretType({
    allowed,
    isAllowed: (value) => typeof value === 'string' && value !== '',
    parse: (text) => text,
  });

export const host: SettingType = {
  ...name('a host name or the directory of a socket'),
  read: (text) =>
    hostName(text) === undefined
      ? { problem: `${shapeOf(text)} is not a host name or the directory of a socket` }
      : { value: hostName(text) },
};

const isStringOrSecret = (value: unknown) => typeof value === 'string' || Secret.is(value);

export const url: SettingType = {
  ...secretType({
    allowed: 'a URL: postgres://user:password@host:5432/database',
    allowedText: 'postgres:// or postgresql://',
    isAllowed: isStringOrSecret,
    parse: (text) => new Secret(text),
  }),
  content: 'url',
};

export const password: SettingType = secretType({
  allowed: 'a password, or a function that returns one',
  allowedText: 'any text; white space at its ends is part of it',
  isAllowed: (value) => isStringOrSecret(value) || typeof value === 'function',
  parse: (text) => new Secret(text),
});

const PEM = {
  allowed: 'PEM text, a buffer with it, or the path of a PEM file',
  allowedText: 'PEM text or the path of a PEM file',
};
const isPem = (value: unknown) => (typeof value === 'string' && value !== '') || value instanceof Uint8Array;
const isListOf = (isOne: (item: unknown) => boolean, value: unknown) =>
  Array.isArray(value) && value.length > 0 && value.every(isOne);

export const certificate: SettingType = {
  ...secretType({
    ...PEM,
    isAllowed: (value) => isPem(value) || isListOf(isPem, value),
    parse: (text) => text,
  }),
  content: 'certificate',
};

export const privateKey: SettingType = {
  ...secretType({
    ...PEM,
    // An item of a list may have its own passphrase: tls.connect takes { pem, passphrase }.
    isAllowed: (value) =>
      isPem(value) ||
      Secret.is(value) ||
      isListOf((item) => isPem(item) || (isGroup(item) && isPem(item['pem'])), value),
    parse: (text) => new Secret(text),
  }),
  content: 'key',
};

interface Definition {
  readonly allowed: string;
  /** @defaultValue `allowed` */
  readonly allowedText?: string;
  readonly isAllowed: (value: unknown) => boolean;
  /** Parses the text of a variable. Absent when no setting of this type has a variable. */
  readonly parse?: (text: string) => unknown;
  readonly hint?: (value: unknown) => string;
  readonly hintForText?: (text: string) => string;
}

/** A type whose messages show a wrong value. A value that looks like a misplaced secret is only described. */
function plainType(definition: Definition): SettingType {
  return typeOf(definition, shapeOf);
}

/** A type whose values may be secrets. Messages show only the kind of a wrong value. */
function secretType(definition: Definition): SettingType {
  return typeOf(definition, kindOf);
}

function typeOf(definition: Definition, describe: (value: unknown) => string): SettingType {
  const { allowed, allowedText = allowed, isAllowed, parse, hint, hintForText } = definition;
  return {
    allowed,
    allowedText,
    problemOf: (value) =>
      isAllowed(value) ? undefined : `${describe(value)} is not ${allowed}${hint?.(value) ?? ''}`,
    read: (text) => {
      const value = parse?.(text);
      return value === undefined
        ? { problem: `${describe(text)} is not ${allowedText}${hintForText?.(text) ?? ''}` }
        : { value };
    },
  };
}
