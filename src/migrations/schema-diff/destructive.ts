import { SqlScanner } from '../../text/sql-scanner.js';

/** Words of a statement in upper case; a quoted identifier or a literal is its text, any other character itself. */
function tokensOf(sql: string): string[] {
  const scanner = new SqlScanner(sql);
  const tokens: string[] = [];
  for (let kind = scanner.next(); kind; kind = scanner.next()) {
    const text = sql.slice(scanner.start, scanner.end);
    tokens.push(kind === 'word' ? text.toUpperCase() : text);
  }
  return tokens;
}

/** Objects whose removal loses data, or the use of a type. An index, a constraint and a view can be created again from what is left. */
const DROPPED = ['TABLE', 'TYPE', 'SCHEMA', 'SEQUENCE', 'DATABASE', 'DOMAIN', 'EXTENSION'];

/** Column types and clauses that give the rows of a table a value. */
const FILLS_ROWS = ['DEFAULT', 'GENERATED', 'SERIAL', 'BIGSERIAL', 'SMALLSERIAL'];

/**
 * Why a statement may lose data, or fail on a table that has rows; undefined for any other statement.
 *
 * - DROP TABLE, COLUMN, TYPE, SCHEMA, SEQUENCE, TRUNCATE: what they contain is lost.
 * - ALTER COLUMN … TYPE: values are converted, or the statement fails; the table is rewritten under an exclusive lock.
 * - SET NOT NULL, and ADD COLUMN … NOT NULL without DEFAULT: they fail on rows without a value.
 */
export function destructiveReason(sql: string): string | undefined {
  const tokens = tokensOf(sql);
  const [verb, object] = tokens;
  if (verb === 'TRUNCATE') return 'removes all rows of a table';
  if (verb === 'DROP' && object !== undefined && DROPPED.includes(object))
    return `drops a ${object.toLowerCase()}`;
  if (verb !== 'ALTER' || object !== 'TABLE') return undefined;
  for (const action of actionsOf(tokens)) {
    const reason = reasonOfAction(action);
    if (reason !== undefined) return reason;
  }
  return undefined;
}

/** The actions of ALTER TABLE, which commas outside parentheses separate; the first one follows the name of the table. */
function actionsOf(tokens: readonly string[]): string[][] {
  const actions: string[][] = [[]];
  let depth = 0;
  for (const token of tokens.slice(2)) {
    if (token === '(') depth += 1;
    if (token === ')') depth -= 1;
    if (token === ',' && depth === 0) actions.push([]);
    else actions.at(-1)!.push(token);
  }
  const [first = []] = actions;
  const start = first.findIndex((token) => ['DROP', 'ALTER', 'ADD', 'RENAME', 'SET'].includes(token));
  actions[0] = start < 0 ? [] : first.slice(start);
  return actions;
}

function reasonOfAction(action: readonly string[]): string | undefined {
  const [verb, object] = action;
  if (verb === 'DROP' && object !== 'CONSTRAINT') return 'drops a column';
  if (verb === 'ALTER' && has(action, 'SET', 'NOT', 'NULL')) return 'fails if a row has no value: NOT NULL';
  if (verb === 'ALTER' && action.includes('TYPE')) return 'changes the type of a column';
  if (
    verb === 'ADD' &&
    isColumn(object) &&
    has(action, 'NOT', 'NULL') &&
    !action.some((token) => FILLS_ROWS.includes(token))
  )
    return 'fails if the table has a row: NOT NULL without a default';
  return undefined;
}

function isColumn(token: string | undefined): boolean {
  return !['CONSTRAINT', 'PRIMARY', 'UNIQUE', 'FOREIGN', 'CHECK', 'EXCLUDE'].includes(token ?? '');
}

function has(tokens: readonly string[], ...sequence: readonly string[]): boolean {
  return tokens.some((_, at) => sequence.every((word, offset) => tokens[at + offset] === word));
}
