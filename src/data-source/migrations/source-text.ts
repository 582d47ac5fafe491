/** What a function's source text contains, without its comments. */
export interface SourceText {
  /** The code; each string and template literal is a `"` followed by a space. */
  readonly code: string;
  /**
   * The contents of the literals. Literals that are joined by `+` are one text, and an expression in a template is a space: a statement
   * that is written in several pieces is read as one.
   */
  readonly literals: readonly string[];
}

const WORD = /[\w$\u0080-\uffff]/;
/** The words after which a slash begins a regular expression. */
const BEFORE_EXPRESSION =
  /(?:^|[^\w$.])(?:return|typeof|case|in|of|delete|void|throw|new|do|else|await|yield|instanceof)$/;
const ESCAPED_BLANKS: Readonly<Record<string, string>> = {
  n: '\n',
  r: '\r',
  t: '\t',
  v: ' ',
  f: ' ',
  '\n': '',
  '\r': '',
};
const LONGEST_KEYWORD = 12;

/**
 * Separates the literals of JavaScript from its code and its comments. Takes linear time. It knows what it needs of JavaScript: a text
 * that is none yields some result and no error.
 */
export function readSource(source: string): SourceText {
  const code: string[] = [];
  const literals: string[] = [];
  /** Whether only `+`, white space and comments have followed the last literal. */
  let isJoined = false;
  let hasPlus = false;
  /** The end of the code so far, to tell a regular expression from a division. */
  let tail = '';
  /** For each template whose expression is being read: the depth of the braces, and its contents so far. */
  const templates: { depth: number; content: string; joinedTo: number | undefined }[] = [];
  let depth = 0;
  let at = 0;

  const addCode = (text: string) => {
    code.push(text);
    // White space of any length counts once: the code before it decides.
    tail = (text.trim() === '' ? `${tail.trimEnd()} ` : tail + text).slice(-LONGEST_KEYWORD);
  };
  /** The literal that the next one continues. */
  const joined = () => (isJoined && hasPlus ? literals.length - 1 : undefined);
  const addLiteral = (content: string, joinedTo = joined()) => {
    if (joinedTo === undefined) literals.push(content);
    else literals[joinedTo] += content;
    isJoined = true;
    hasPlus = false;
    addCode('" ');
  };
  /** Reads a template up to its end, or up to its next expression. */
  const readTemplate = (begun: string, joinedTo = joined()) => {
    const pieces = [begun];
    while (at < source.length) {
      const character = source[at]!;
      if (character === '`') {
        at += 1;
        return addLiteral(pieces.join(''), joinedTo);
      }
      if (character === '$' && source[at + 1] === '{') {
        at += 2;
        templates.push({ depth, content: `${pieces.join('')} `, joinedTo });
        depth += 1;
        isJoined = false;
        return addCode('{');
      }
      pieces.push(readCharacter());
    }
    addLiteral(pieces.join(''));
  };
  const readCharacter = (): string => {
    const character = source[at]!;
    at += 1;
    if (character !== '\\') return character;
    const escaped = source[at] ?? '';
    at += 1;
    return ESCAPED_BLANKS[escaped] ?? escaped;
  };
  const readString = (quote: string) => {
    const pieces: string[] = [];
    // An unescaped line break ends a string that was none: the quote was that of a regular expression.
    while (at < source.length && source[at] !== quote && source[at] !== '\n') pieces.push(readCharacter());
    at += 1;
    addLiteral(pieces.join(''));
  };
  const readRegularExpression = () => {
    for (let isClass = false; at < source.length && source[at] !== '\n'; at += 1) {
      const character = source[at]!;
      if (character === '\\') at += 1;
      else if (character === '[') isClass = true;
      else if (character === ']') isClass = false;
      else if (character === '/' && !isClass) break;
    }
    at += 1;
    addCode('" ');
  };
  const skipTo = (end: string) => {
    const found = source.indexOf(end, at);
    at = found < 0 ? source.length : found + end.length;
  };

  while (at < source.length) {
    const character = source[at]!;
    const next = source[at + 1];
    at += 1;
    if (character === '/' && next === '/') skipTo('\n');
    else if (character === '/' && next === '*') {
      at += 1;
      skipTo('*/');
      addCode(' ');
    } else if (character === '"' || character === "'") readString(character);
    else if (character === '`') readTemplate('');
    else if (/\s/.test(character)) {
      addCode(character);
    } else if (character === '+' && isJoined && !hasPlus) {
      hasPlus = true;
      addCode(character);
    } else {
      isJoined = false;
      if (character === '/' && beginsExpression(tail)) readRegularExpression();
      else if (character === '}' && templates.length > 0 && templates.at(-1)!.depth === depth - 1) {
        depth -= 1;
        addCode('}');
        const { content, joinedTo } = templates.pop()!;
        readTemplate(content, joinedTo);
      } else {
        if (character === '{') depth += 1;
        else if (character === '}') depth -= 1;
        addCode(character);
      }
    }
  }
  // A template that does not end.
  for (const { content } of templates) literals.push(content);
  return { code: code.join(''), literals };
}

/** Whether an expression may begin after this code: a slash there begins a regular expression, and elsewhere divides. */
function beginsExpression(tail: string): boolean {
  const before = tail.trimEnd();
  const last = before.at(-1);
  if (last === undefined) return true;
  if (WORD.test(last)) return BEFORE_EXPRESSION.test(before);
  return !/[)\]}"]/.test(last);
}
