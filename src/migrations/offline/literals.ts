import { sentValues } from '../../connection/wire/pg-internals.js';
import { MigrationError } from '../../errors/migration.errors.js';
import { shortSql } from '../../text/masking.js';
import { scanStatements } from './statement-text.js';
import type { StatementText } from './statement-text.js';

/** A value that is an expression of SQL, not a literal. */
class SqlExpression {
  readonly sql: string;

  constructor(sql: string) {
    this.sql = sql;
  }
}

/** The name of the database in which the statement runs. TypeORM writes it into its table of metadata. */
export const CURRENT_DATABASE = new SqlExpression('current_database()::text');

/** A statement as the file contains it, without the semicolon. */
export interface RenderedStatement {
  readonly text: StatementText;
  /** The rendered text up to its last token, without the semicolon. Empty if it consists of comments. */
  readonly sql: string;
  /** The comments that follow. */
  readonly rest: string;
}

/**
 * Renders the parameters of a statement as literals. They are of unknown type, so that PostgreSQL resolves their types as it does those of
 * parameters. The result means the same with either `standard_conforming_strings`, and psql finds neither variables nor commands in it.
 *
 * @throws MigrationError `MIGRATION_VALUE` if a parameter has no form as a literal, if the number of parameters is not that of the
 * statement, or if psql would read the text differently from the server
 */
export function renderStatement(sql: string, parameters: readonly unknown[] = []): RenderedStatement {
  const text = scanStatements(sql);
  const refuse = (reason: string, cause?: unknown) => valueError(sql, reason, cause);
  checkText(sql, text, refuse);
  checkParameters(text, parameters.length, refuse);
  const used = new Map<number, string>();
  const literal = (number: number): string => {
    const known = used.get(number) ?? literalOf(parameters[number - 1], `$${number}`, refuse);
    used.set(number, known);
    return known;
  };
  const replaced = parameters.length > 0 ? text.parameters : [];
  const changes = [
    ...replaced.map(({ start, end, number }) => ({
      start,
      end,
      by: apart(sql, start, end, literal(number)),
    })),
    ...text.colons.map((start) => ({ start, end: start + 1, by: ': ' })),
  ].sort((one, other) => one.start - other.start);
  const end = text.isTerminated ? text.end - 1 : text.end;
  let rendered = '';
  let at = 0;
  for (const change of changes) {
    rendered += sql.slice(at, change.start) + change.by;
    at = change.end;
  }
  return { text, sql: rendered + sql.slice(at, end), rest: sql.slice(text.end) };
}

type Refuse = (reason: string, cause?: unknown) => MigrationError;

function checkText(sql: string, text: StatementText, refuse: Refuse): void {
  if (sql.includes('\0')) throw refuse('It contains a NUL character');
  if (text.isIncomplete) throw refuse('It ends inside a literal, a quoted identifier or a comment');
  if (text.hasBackslash)
    throw refuse('It contains a backslash outside of a literal, which psql reads as a command');
  const isCopy = text.heads.some((head) => /^copy\b/.test(head));
  if (isCopy && text.words.has('from') && text.words.has('stdin'))
    throw refuse('COPY FROM STDIN needs data beside the statement');
}

/** Statements whose `$1` are those of the function or the prepared statement. */
const DEFINES_PARAMETERS = /^(?:create (?:or replace )?(?:function|procedure)|prepare)\b/;

/** Statements to which the server binds values. Others have no parameters: `ALTER TABLE … SET DEFAULT $1` fails. */
const TAKES_PARAMETERS =
  /^(?:select|insert|update|delete|merge|with|values|call|declare|explain|create (?:\w+ )*(?:table|materialized view))\b/;

/** The server refuses the same: too few or too many values, a parameter that is not used, parameters of several statements. */
function checkParameters({ heads, parameters }: StatementText, given: number, refuse: Refuse): void {
  const numbers = new Set(parameters.map(({ number }) => number));
  const needed = Math.max(0, ...numbers);
  if (given === 0 && heads.some((head) => DEFINES_PARAMETERS.test(head))) return;
  if (numbers.has(0)) throw refuse('It contains $0');
  if (needed !== given) throw refuse(`It has ${needed} parameter(s), and ${given} are given`);
  if (numbers.size !== needed) throw refuse(`It does not use all ${needed} parameters`);
  if (given === 0) return;
  if (heads.length > 1) throw refuse('Only a single statement can have parameters');
  if (!TAKES_PARAMETERS.test(heads[0] ?? '')) throw refuse('Such a statement cannot have parameters');
}

/** Keeps a literal apart from what stands beside it: `U&$1` must not become a string with Unicode escapes. */
function apart(sql: string, start: number, end: number, by: string): string {
  const touches = (character: string | undefined) =>
    character !== undefined && /[\w'"$&\u0080-\uffff]/.test(character);
  return `${touches(sql[start - 1]) ? ' ' : ''}${by}${touches(sql[end]) ? ' ' : ''}`;
}

function literalOf(value: unknown, name: string, refuse: Refuse): string {
  if (value instanceof SqlExpression) return value.sql;
  let sent: string | Buffer | null;
  try {
    [sent = null] = sentValues([value]);
  } catch (error) {
    if (error instanceof MigrationError) throw error;
    throw refuse(`${name} cannot be converted`, error);
  }
  if (sent === null) return 'NULL';
  if (Buffer.isBuffer(sent)) return `decode('${sent.toString('hex')}', 'hex')`;
  // `pg` sends what a conversion returns, of whatever type.
  if (typeof sent !== 'string') throw refuse(`${name} is a ${typeof sent}`);
  if (sent.includes('\0')) throw refuse(`${name} contains a NUL character`);
  return quoteLiteral(sent);
}

const ESCAPES: Readonly<Record<string, string>> = { '\\': '\\\\', "'": "''", '\n': '\\n', '\r': '\\r' };

/**
 * A text as a literal. Without a backslash or a line break it is a plain one; otherwise an `E''`, whose meaning depends on no setting, and
 * which no conversion of line ends changes.
 */
export function quoteLiteral(text: string): string {
  const needsEscapes = /[\\\n\r]/.test(text);
  const escaped = text.replace(/[\\'\n\r]/g, (character) =>
    !needsEscapes && character !== "'" ? character : (ESCAPES[character] ?? character),
  );
  return `${needsEscapes ? 'E' : ''}'${escaped}'`;
}

function valueError(sql: string, reason: string, cause?: unknown): MigrationError {
  return new MigrationError(`A statement cannot be written as SQL. ${reason}: ${shortSql(sql)}`, {
    code: 'MIGRATION_VALUE',
    hint: 'Write the value into the statement, or run this migration online.',
    cause,
  });
}
