import { z } from 'zod';
import { BOUNDS, LONGEST_TIMER, within } from './bounds.js';
import type { Bounds } from './bounds.js';
import { readPem } from '../tls/pem.js';
import type { PemKind } from '../tls/pem.js';
import { passwordOfFile, readSecretFile } from '../environment/secret-files.js';
import { Secret } from '../secrets/secret.js';
import { shapeOf } from '../problems/value-shape.js';
import { hostName, parseDatabaseUrl } from '../url/database-url.js';

/** What reads one variable's text, and what it allows in words. */
export interface Parser {
  readonly schema: z.ZodType<unknown, string>;
  readonly allowed: string;
}

const UNITS: Readonly<Record<string, number>> = { ms: 1, s: 1_000, m: 60_000, min: 60_000, h: 3_600_000 };
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

/** A parser whose only message is "<shape> is not <allowed>". */
function parser<T>(
  allowed: string,
  parse: (text: string) => T | undefined,
  hint?: (text: string) => string,
): Parser {
  return {
    allowed,
    schema: z.string().transform((text, context) => {
      const value = parse(text);
      if (value !== undefined) return value;
      context.addIssue({
        code: 'custom',
        message: `${shapeOf(text)} is not ${allowed}${hint?.(text) ?? ''}`,
      });
      return z.NEVER;
    }),
  };
}

export const wholeNumber = (bounds: Bounds): Parser =>
  parser(`a whole number from ${bounds.min} to ${bounds.max}`, (text) => {
    const value = /^\d{1,15}$/.test(text) ? Number(text) : Number.NaN;
    return within(value, bounds) ? value : undefined;
  });

/** Milliseconds of `30`, `30s`, `500ms`, `5m`, `1h`; a number alone is seconds. */
export function milliseconds(text: string): number | undefined {
  const parts = /^(\d{1,12}(?:\.\d{1,6})?)\s*(ms|s|m|min|h)?$/i.exec(text);
  if (!parts) return undefined;
  const value = Number(parts[1]) * UNITS[(parts[2] ?? 's').toLowerCase()]!;
  const rounded = Math.round(value);
  // 0.0001s is not 0, which would mean off.
  return value > 0 && rounded === 0 ? undefined : rounded;
}

const seconds = (ms: number) => `${ms / 1_000} s`;

export function duration(bounds: Bounds): Parser {
  const { min, max, off } = bounds;
  const least = min < 1_000 ? '0 s' : seconds(min);
  const range = max === LONGEST_TIMER ? `of at least ${least}` : `from ${least} to ${seconds(max)}`;
  const allowed = `a duration ${range}${off ? ', 0 for off,' : ''} as 30, 30s, 500ms, 5m or 1h`;
  return parser(
    allowed,
    (text) => {
      const value = off && text.toLowerCase() === 'off' ? 0 : milliseconds(text);
      return value !== undefined && within(value, bounds) ? value : undefined;
    },
    (text) =>
      /^\d+$/.test(text) && within(Number(text), bounds)
        ? `; a number alone is seconds, ${text} milliseconds are ${text}ms`
        : '',
  );
}

export const flag: Parser = parser('true or false (1, 0, yes, no, on, off)', (text) =>
  FLAGS.get(text.toLowerCase()),
);

export const oneOf = (values: readonly string[]): Parser =>
  parser(`one of ${values.join(', ')}`, (text) => values.find((value) => value === text.toLowerCase()));

export const applicationName: Parser = parser(
  `a name of 1 to ${BOUNDS.applicationNameBytes} bytes`,
  (text) => (Buffer.byteLength(text, 'utf8') <= BOUNDS.applicationNameBytes ? text : undefined),
);

export const host: Parser = parser('the name of a host, or the folder of a socket', (text) => hostName(text));

/** Any name or password: only the server knows which are right. */
export const name = (allowed: string): Parser => ({ allowed, schema: z.string() });

export const password: Parser = {
  allowed: 'a password, as it is',
  schema: z.string().transform((text) => new Secret(text)),
};

/** The path of a file that holds a password; the value is a function that reads it. */
export const passwordFile = (variable: string): Parser => ({
  allowed: 'the path of a file with a password',
  schema: z.string().transform((path, context) => {
    const read = readSecretFile(path);
    if ('problem' in read) context.addIssue({ code: 'custom', message: read.problem });
    return passwordOfFile(variable, path);
  }),
});

/** The path of a file that holds a URL; the value is the URL as it is now. */
export const urlFile: Parser = {
  allowed: 'the path of a file with a URL',
  schema: z.string().transform((path, context) => {
    const read = readSecretFile(path);
    if ('text' in read) {
      for (const message of parseDatabaseUrl(read.text).problems)
        context.addIssue({ code: 'custom', message });
      return new Secret(read.text);
    }
    context.addIssue({ code: 'custom', message: read.problem });
    return z.NEVER;
  }),
};

/** Judged here already, so that a wrong URL is told together with the other variables; kept as a secret. */
export const url: Parser = {
  allowed: 'postgres:// or postgresql://',
  schema: z.string().transform((text, context) => {
    for (const message of parseDatabaseUrl(text).problems) context.addIssue({ code: 'custom', message });
    return new Secret(text);
  }),
};

/** Likewise judged here and kept as it was given; a private key as a secret. */
export const pem = (kind: PemKind): Parser => ({
  allowed: 'PEM text or the path of a PEM file',
  schema: z.string().transform((text, context) => {
    const read = readPem(text, kind);
    if ('problem' in read) context.addIssue({ code: 'custom', message: read.problem });
    return kind === 'key' ? new Secret(text) : text;
  }),
});
