import type { Diagnosis } from '../diagnosis/diagnose.js';

/** The checks, in their order. */
export type CheckName =
  'settings' | 'name resolution' | 'TCP' | 'TLS' | 'login' | 'server' | 'settings in force' | 'round trips';

/** One check, as it came out. */
export interface Check {
  readonly name: CheckName;
  readonly status: 'ok' | 'warning' | 'failed';
  /** How long it took; milliseconds. */
  readonly ms: number;
  /** What was found, or what went wrong. */
  readonly summary: string;
  /** What is not right and does not keep the app from working. */
  readonly warnings: readonly string[];
  /** Of a failure. */
  readonly diagnosis?: Pick<Diagnosis, 'code' | 'hint'>;
  /** The same for programs. */
  readonly facts?: Readonly<Record<string, unknown>>;
}

/** Where the report goes. */
export interface Output {
  write(text: string): unknown;
  readonly isTTY?: boolean;
  /** Whether it shows colours; looks at NO_COLOR too. */
  hasColors?(): boolean;
}

const MARKS = { ok: '✔', warning: '!', failed: '✖' } as const;
/** https://en.wikipedia.org/wiki/ANSI_escape_code#Colors: green, yellow, red. */
const COLOURS = { ok: 32, warning: 33, failed: 31 } as const;
const NAME_WIDTH = 'settings in force'.length;

/** A line for each check, while they run. */
export function lineWriter(output: Output): (check: Check) => void {
  const coloured = output.isTTY === true && output.hasColors?.() !== false;
  const paint = (text: string, colour: number) => (coloured ? `\u001B[${colour}m${text}\u001B[39m` : text);
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
