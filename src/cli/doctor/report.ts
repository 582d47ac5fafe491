import type { Diagnosis } from '../../diagnosis/diagnose.js';

/** The checks, in the order in which they run. */
export type CheckName =
  'settings' | 'name resolution' | 'TCP' | 'TLS' | 'login' | 'server' | 'settings in force' | 'round trips';

/** The result of one check. */
export interface Check {
  readonly name: CheckName;
  readonly status: 'ok' | 'warning' | 'failed';
  /** Duration in milliseconds. */
  readonly ms: number;
  /** What was found, or what went wrong. */
  readonly summary: string;
  /** Problems that do not prevent the app from working. */
  readonly warnings: readonly string[];
  /** Only for a failed check. */
  readonly diagnosis?: Pick<Diagnosis, 'code' | 'hint'>;
  /** What was found, for programs. */
  readonly facts?: Readonly<Record<string, unknown>>;
}

/** The stream that the report is written to. */
export interface Output {
  write(text: string): unknown;
  readonly isTTY?: boolean;
  /** Whether the terminal shows colours. Node's streams respect NO_COLOR. */
  hasColors?(): boolean;
}

const MARKS = { ok: '✔', warning: '!', failed: '✖' } as const;
/** Green, yellow and red: https://en.wikipedia.org/wiki/ANSI_escape_code#Colors */
const COLOURS = { ok: 32, warning: 33, failed: 31 } as const;
const NAME_WIDTH = 'settings in force'.length;

/** Writes a line for each check as soon as it has ended. */
export function lineWriter(output: Output): (check: Check) => void {
  const isColoured = output.isTTY === true && output.hasColors?.() !== false;
  const paint = (text: string, colour: number) => (isColoured ? `\u001B[${colour}m${text}\u001B[39m` : text);
  return ({ name, status, ms, summary, warnings, diagnosis }) => {
    const mark = paint(MARKS[status], COLOURS[status]);
    const code = diagnosis ? `${paint(diagnosis.code, COLOURS.failed)}: ` : '';
    output.write(`${mark} ${name.padEnd(NAME_WIDTH)} ${time(ms).padStart(9)}  ${code}${summary}\n`);
    for (const warning of warnings) output.write(`  ${paint('!', COLOURS.warning)} ${warning}\n`);
    if (diagnosis) output.write(`  → ${diagnosis.hint}\n`);
  };
}

function time(ms: number): string {
  return ms >= 1_000 ? `${(ms / 1_000).toFixed(2)} s` : `${ms.toFixed(1)} ms`;
}
