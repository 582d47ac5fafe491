import { SqlScanner } from '../../text/sql-scanner.js';

/** Functions that depend on nothing but their arguments, the schema and the settings of the session. Roles belong to the server. */
const FUNCTIONS =
  /^(?:to_reg(?!role)\w+|pg_get_(?!userbyid)\w+|pg_\w+_is_visible|format_type|obj_description|col_description|shobj_description|current_schemas?|current_database|current_setting|version|quote_(?:ident|literal)|count|min|max|bool_and|bool_or|every|(?:array|string|json|jsonb)_agg|coalesce|nullif|greatest|least|lower|upper|length|substr|substring|replace|concat|concat_ws|left|right|array_to_string|array_length|cardinality|unnest|exists|any|all|some|in|cast|values|and|or|not|select|where|on|as|when|then|else|case|from|varchar|char|numeric|over|filter)$/;

/** Relations of `pg_catalog` that describe the schema of one database. Others describe the server, its activity or the data. */
const SCHEMA_RELATIONS =
  /^pg_(?:aggregate|am|amop|amproc|attrdef|attribute|cast|class|collation|constraint|conversion|default_acl|depend|description|enum|event_trigger|extension|foreign_\w+|index|indexes|inherits|language|matviews|namespace|opclass|operator|opfamily|partitioned_table|policies|policy|proc|publication\w*|range|rewrite|rules|sequence|statistic_ext|tables|transform|trigger|ts_\w+|type|user_mappings?|views)$/;

/** Words that return the role or the time. */
const OUTSIDE =
  /^(?:current_(?:user|role|catalog|date|time|timestamp)|session_user|user|localtime|localtimestamp)$/;

/** Names without one of which a query does not read the catalogue. */
const CATALOGUE = /^(?:pg_|to_reg|information_schema$|current_(?:schemas?|database|setting)$|version$)/;

/** Clauses that end a FROM clause. */
const AFTER_FROM = /^(?:where|group|having|window|order|limit|offset|fetch|union|intersect|except|select)$/;

/**
 * Whether a text is a single SELECT that reads only the schema, so that a database with the same schema gives the same answer: relations
 * of `pg_catalog` and `information_schema`, and functions that depend on nothing else. In doubt, false.
 */
export function readsOnlyCatalogue(text: string): boolean {
  const tokens = tokensOf(text);
  if (tokens?.[0] !== 'select' || !tokens.some((token) => CATALOGUE.test(unquoted(token)))) return false;
  /** For each level of parentheses, whether it is inside a FROM clause. */
  const levels: boolean[] = [false];
  for (let index = 0; index < tokens.length; index += 1) {
    const token = tokens[index]!;
    const next = tokens[index + 1];
    if (token === '(') levels.push(false);
    else if (token === ')') levels.pop();
    else if (/^(?:into|for|insert|update|delete|merge|with)$/.test(token) || OUTSIDE.test(token))
      return false;
    else if (AFTER_FROM.test(token)) levels[levels.length - 1] = false;
    if (next === '(' && /^["\w]/.test(token) && !FUNCTIONS.test(unquoted(token))) return false;
    const isRelationNext = token === 'from' || token === 'join' || (token === ',' && levels.at(-1));
    if (!isRelationNext) continue;
    levels[levels.length - 1] = true;
    if (next !== '(' && !isSchemaRelation(tokens.slice(index + 1, index + 4))) return false;
  }
  return true;
}

/** The tokens, words in lower case; undefined for several statements, and for a text that cannot be read for sure. */
function tokensOf(text: string): string[] | undefined {
  const scanner = new SqlScanner(text);
  const tokens: string[] = [];
  for (let kind = scanner.next(); kind; kind = scanner.next()) {
    const token = text.slice(scanner.start, scanner.end);
    if (tokens.at(-1) === ';') return undefined;
    tokens.push(kind === 'word' ? token.toLowerCase() : token);
  }
  if (scanner.isAmbiguous) return undefined;
  return tokens.at(-1) === ';' ? tokens.slice(0, -1) : tokens;
}

function unquoted(token: string): string {
  return token.replace(/^"(\w+)"$/, '$1');
}

/** @param tokens a name, perhaps with its schema */
function isSchemaRelation([first = '', dot, second = '']: readonly string[]): boolean {
  const name = unquoted(first);
  if (name === 'information_schema') return dot === '.';
  if (name === 'pg_catalog') return dot === '.' && SCHEMA_RELATIONS.test(unquoted(second));
  return dot !== '.' && dot !== '(' && SCHEMA_RELATIONS.test(name);
}
