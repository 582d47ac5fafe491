import { userFramesOf } from '../text/call-site.js';

/** `util.inspect`, as it is passed to a custom inspection. */
export type Inspect = (value: unknown, options: object) => string;

const DEEPEST_CAUSE = 4;

/**
 * An error as one paragraph of a log: its stack, its enumerable texts and numbers with `further` ones, and a line for each
 * cause. Objects are left out: Nest's logger would print them whole.
 */
export function errorParagraph(
  error: Error,
  further: Readonly<Record<string, unknown>>,
  options: object,
  inspect: Inspect,
): string {
  const shown: Record<string, unknown> = {};
  for (const [key, value] of Object.entries(error))
    if (key !== 'name' && value !== undefined && typeof value !== 'object') shown[key] = value;
  Object.assign(shown, further);
  const lines = [error.stack ?? String(error)];
  if (Object.keys(shown).length > 0) lines[0] += ` ${inspect(shown, options)}`;
  for (let { cause } = error, depth = 0; cause !== undefined && depth < DEEPEST_CAUSE; depth++) {
    lines.push(`Caused by ${describeCause(cause)}`);
    ({ cause } = (cause ?? {}) as { cause?: unknown });
  }
  return lines.join('\n');
}

/** A cause with its code, and with its stack where that leads into the code of the app. Most stacks of a socket do not. */
function describeCause(cause: unknown): string {
  if (!isError(cause)) return String(cause);
  const { code } = cause as { code?: string | number };
  const frames = userFramesOf(cause);
  return `${String(cause)}${code === undefined ? '' : ` (${code})`}${frames ? `\n${frames}` : ''}`;
}

/** Not `instanceof Error`: under Jest the errors of Node itself come from another realm. */
function isError(value: unknown): value is Error {
  return typeof (value as { stack?: unknown } | undefined)?.stack === 'string';
}
