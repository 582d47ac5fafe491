import { describe, expect, it } from '@jest/globals';
import { CONNECTION_RULES } from './connection-rules.js';
import type { FailureRule } from './failure-rule.js';
import { RuleList } from './rule-list.js';
import { STATEMENT_RULES } from './statement-rules.js';

const rule = (code: string, ...signs: FailureRule['signs']): FailureRule => ({
  code,
  category: 'server',
  meaning: 'something failed',
  hint: 'Change something.',
  signs,
});

describe('RuleList', () => {
  const first = rule('FIRST', '23505', { message: /lock/, example: 'a lock', codes: ['55P03'] });
  const second = rule(
    'SECOND',
    '55P03',
    { message: /lock/, example: 'a lock' },
    { message: /a/, example: 'a', codes: ['55P03'] },
  );
  const list = new RuleList([first, second]);

  it('finds the first rule whose pattern matches the message and comes with the code', () => {
    expect(list.findByMessage('a lock', '55P03')).toBe(first);
    expect(list.findByMessage('another', '55P03')).toBe(second);
    expect(list.findByMessage('a lock', '23505')).toBeUndefined();
  });

  it('matches a pattern without codes against errors without a code only', () => {
    expect(list.findByMessage('a lock', undefined)).toBe(second);
    expect(list.findByMessage('a lock', 'XX000')).toBeUndefined();
  });

  it('finds a rule by a code without a message', () => {
    expect(list.findByCode('55P03')).toBe(second);
    expect(list.findByCode('99999')).toBeUndefined();
  });
});

describe.each([
  ['connections', CONNECTION_RULES],
  ['statements', STATEMENT_RULES],
])('the rules of %s', (_of, list) => {
  const rules = [...list];

  it('list each code only once', () => {
    const codes = rules.flatMap(({ signs }) => signs.filter((sign) => typeof sign === 'string'));
    expect(codes).toEqual([...new Set(codes)]);
  });

  it('come before the rules that they precede', () => {
    for (const [at, { code, precedes = [] }] of rules.entries()) {
      const later = rules.slice(at + 1).map((other) => other.code);
      expect({ code, missing: precedes.filter((other) => !later.includes(other)) }).toEqual({
        code,
        missing: [],
      });
    }
  });

  it('list in precedes each later rule that matches one of their examples', () => {
    for (const [at, { code, precedes = [], signs }] of rules.entries()) {
      const later = new RuleList(rules.slice(at + 1));
      const examples = signs
        .filter((sign) => typeof sign !== 'string')
        .flatMap(({ example, codes = [undefined] }) => codes.map((one) => later.findByMessage(example, one)));
      const unnamed = examples.filter((other) => other && !precedes.includes(other.code));
      expect({ code, unnamed }).toEqual({ code, unnamed: [] });
    }
  });
});
