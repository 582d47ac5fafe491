import { describe, expect, it } from '@jest/globals';
import { SqlScanner } from './sql-scanner.js';

function tokensOf(text: string): string[] {
  const scanner = new SqlScanner(text);
  const tokens: string[] = [];
  for (let token = scanner.next(); token; token = scanner.next())
    tokens.push(`${token} ${text.slice(scanner.start, scanner.end)}`);
  if (scanner.isAmbiguous) tokens.push('ambiguous');
  return tokens;
}

describe('SqlScanner', () => {
  it.each([
    ["a 'b;''c' d", ['word a', "quoted 'b;''c'", 'word d']],
    [String.raw`e'a\'b' E'\\' x`, [String.raw`quoted e'a\'b'`, String.raw`quoted E'\\'`, 'word x']],
    [String.raw`xe'a\'b'`, ['word xe', String.raw`quoted 'a\'`, 'word b', "quoted '", 'ambiguous']],
    [`U&"d""\\0061" x`, ['word U', 'symbol &', `quoted "d""\\0061"`, 'word x']],
    ['$$a;$b$c$$ x', ['quoted $$a;$b$c$$', 'word x']],
    ['$ä1$a$$;$ä1$', ['quoted $ä1$a$$;$ä1$']],
    ['$1 a$b$c', ['symbol $', 'symbol 1', 'word a$b$c']],
    ['$tag x', ['symbol $', 'word tag', 'word x']],
    ['a--b;\rc--d', ['word a', 'word c']],
    ['a/* /* ; */ ; */b', ['word a', 'word b']],
    ['a/* /* */', ['word a', 'ambiguous']],
    ['a-b/c', ['word a', 'symbol -', 'word b', 'symbol /', 'word c']],
    ['"a;', ['quoted "a;', 'ambiguous']],
    ['$$a;$a$', ['quoted $$a;$a$', 'ambiguous']],
    [" \t\v\f\r\n ''", ["quoted ''"]],
    ['', []],
  ])('reads %j as PostgreSQL does', (text, tokens) => {
    expect(tokensOf(text)).toEqual(tokens);
  });
});
