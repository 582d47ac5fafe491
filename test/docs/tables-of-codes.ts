import { CONNECTION_RULES } from '../../src/diagnosis/connection-rules.js';
import type { Sign } from '../../src/diagnosis/failure-rule.js';
import { STATEMENT_RULES } from '../../src/diagnosis/statement-rules.js';

/** A table of a page, with the source text of its cells. */
export interface Table {
  readonly header: readonly string[];
  readonly rows: readonly (readonly string[])[];
}

/** The tables of codes in docs/troubleshooting.md, generated from the rules. `npm run docs:codes` writes them into the page. */
export const TABLES_OF_CODES: readonly Table[] = [
  {
    header: ['code', 'category', 'seen as', 'meaning', 'hint', 'transient'],
    rows: [...CONNECTION_RULES].map(({ code, category, signs, meaning, hint, transient }) => [
      asCode(code),
      category,
      signsOf(signs),
      meaning,
      hint,
      yesOrNo(transient),
    ]),
  },
  {
    header: ['code', 'SQLSTATE', 'meaning', 'hint', 'transient'],
    rows: [...STATEMENT_RULES].map(({ code, signs, meaning, hint, transient }) => [
      asCode(code),
      signsOf(signs),
      meaning,
      hint,
      yesOrNo(transient),
    ]),
  },
];

function asCode(text: string): string {
  return `\`${text}\``;
}

function yesOrNo(value = false): string {
  return value ? 'yes' : 'no';
}

function signsOf(signs: readonly Sign[]): string {
  return signs
    .map((sign) => {
      if (typeof sign === 'string') return asCode(sign);
      const { example, codes = [] } = sign;
      return codes.length > 0 ? `"${example}" (${codes.map(asCode).join(', ')})` : `"${example}"`;
    })
    .join(', ');
}
