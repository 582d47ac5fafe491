import { appFramesOf } from '../text/call-site.js';

/** `util.inspect`, as Node.js passes it to a custom `inspect` method. */
export type Inspect = (value: unknown, options: object) => string;

/** Causes deeper than this are omitted. */
const DEEPEST_CAUSE = 4;

/**
 * An error as one paragraph of a log: its stack, its enumerable strings and numbers, the `further` properties, and a line for
 * each cause. Objects are omitted: Nest's logger would print them in full.
 */
export function errorParagraph(
  error: Error,
  further: Readonly<Record<string, unknown>>,
  options: object,
  inspect: Inspect,
): string {
  const properties: Record<string, unknown> = {};
  for (const [key, value] of Object.entries(error))
    if (key !== 'name' && value !== undefined && typeof value !== 'object') properties[key] = value;
  Object.assign(properties, further);
  const lines = [error.stack ?? String(error)];
  if (Object.keys(properties).length > 0) lines[0] += ` ${inspect(properties, options)}`;
  for (let { cause } = error, depth = 0; cause !== undefined && depth < DEEPEST_CAUSE; depth++) {
    lines.push(`Caused by ${describeCause(cause)}`);
    ({ cause } = (cause ?? {}) as { cause?: unknown });
  }
  return lines.join('\n');
}

/** A cause with its code, and with its frames in the app's code. Most errors of a socket have none. */
function describeCause(cause: unknown): string {
  if (!isError(cause)) return String(cause);
  const { code } = cause as { code?: string | number };
  const frames = appFramesOf(cause);
  return `${String(cause)}${code === undefined ? '' : ` (${code})`}${frames ? `\n${frames}` : ''}`;
}

/** Not `instanceof Error`: under Jest, errors of Node.js come from another realm. */
function isError(value: unknown): value is Error {
  return typeof (value as { stack?: unknown } | undefined)?.stack === 'string';
}
