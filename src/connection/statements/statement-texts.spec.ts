import { describe, expect, it } from '@jest/globals';
import { StatementFacts, StatementTexts } from './statement-texts.js';

const SELECT = 'SELECT * FROM notes WHERE id = $1';

describe('StatementTexts', () => {
  it('judges a text once', () => {
    const texts = new StatementTexts();
    expect(texts.factsOf(SELECT)).toBe(texts.factsOf(`${SELECT}`));
    expect(texts.factsOf(SELECT)).toMatchObject({ text: SELECT, changesSession: false, uses: 0 });
    expect(texts.factsOf("SELECT set_config('statement_timeout', $1, false)")).toMatchObject({
      mentionsStatementTimeout: true,
      changesSession: true,
    });
  });

  it('leaves out a comment at the end, but no other one and no hint', () => {
    const texts = new StatementTexts();
    const facts = texts.factsOf(SELECT);
    for (const comment of [" /*traceparent='00-1-2-01'*/", '/**/', '\n/* a; b -- c */'])
      expect(texts.factsOf(`${SELECT}${comment}`)).toBe(facts);
    for (const text of [
      `/* a */ ${SELECT}`,
      `${SELECT} /*+ SeqScan(notes) */`,
      `${SELECT} /* a /* b */ */`,
      `${SELECT} -- /*\n*/`,
      `${SELECT} AND text = '/* a */`,
      `${SELECT} AND text = '/*' OR true -- */`,
      '/* nothing else */',
      '*/',
      '/*/',
    ])
      expect(texts.factsOf(text).text).toBe(text);
  });

  it('judges a text with a comment as a whole when its rest is ambiguous', () => {
    const texts = new StatementTexts();
    const text = `SELECT '/*', set_config('a.b', $1, false) --*/`;
    expect(texts.factsOf(text)).toMatchObject({ text, changesSession: true });
  });

  it('keeps a text that is used, and forgets those that are not, however many there are', () => {
    const texts = new StatementTexts();
    const used = texts.factsOf(SELECT);
    const once = texts.factsOf('SELECT 0');
    for (let n = 1; n <= 10_000; n += 1) {
      texts.factsOf(`SELECT ${n}`);
      if (n % 500 === 0) expect(texts.factsOf(SELECT)).toBe(used);
    }
    expect(texts.factsOf('SELECT 0')).not.toBe(once);
  });

  it('keeps at most two million characters', () => {
    const texts = new StatementTexts();
    const once = texts.factsOf('SELECT 0');
    for (let n = 1; n <= 150; n += 1) texts.factsOf(`SELECT ${n} ${'x'.repeat(16_000)}`);
    expect(texts.factsOf('SELECT 0')).not.toBe(once);
  });

  it('keeps only the last text of more than 16 384 characters', () => {
    const texts = new StatementTexts();
    const [one, two] = [1, 2].map((n) => `SELECT ${n} ${'x'.repeat(16_384)}`) as [string, string];
    const facts = texts.factsOf(one);
    expect(texts.factsOf(one)).toBe(facts);
    texts.factsOf(two);
    expect(texts.factsOf(one)).not.toBe(facts);
    expect(facts.isPreparable).toBe(false);
  });
});

describe('The facts of a statement', () => {
  it('name it by a hash of its text', () => {
    expect(new StatementFacts(SELECT).name).toMatch(/^ndb_[\w-]{24}$/);
    expect(new StatementFacts(SELECT).name).toBe(new StatementFacts(SELECT).name);
    expect(new StatementFacts(`${SELECT} `).name).not.toBe(new StatementFacts(SELECT).name);
  });

  it('show whether it is one query or one DML statement', () => {
    const isPreparable = (text: string) => new StatementFacts(text).isPreparable;
    expect([SELECT, 'CALL p($1)', 'SELECT $1; SELECT 2'].map(isPreparable)).toEqual([true, false, false]);
  });

  it('require ten times as many uses after each rejection, up to a million', () => {
    const facts = new StatementFacts(SELECT);
    const uses = Array.from({ length: 8 }, () => {
      facts.onRejected();
      return facts.uses;
    });
    expect(uses).toEqual([-10, -100, -1_000, -10_000, -100_000, -1_000_000, -1_000_000, -1_000_000]);
  });
});
