import type { FailureRule, MessageSign, Sign } from './failure-rule.js';

/** An ordered list of rules, with look-up by the message or the code of an error. */
export class RuleList implements Iterable<FailureRule> {
  readonly #rules: readonly FailureRule[];
  readonly #byCode = new Map<string, FailureRule>();

  constructor(rules: readonly FailureRule[]) {
    this.#rules = rules;
    for (const rule of rules) for (const sign of rule.signs) if (isCode(sign)) this.#byCode.set(sign, rule);
  }

  [Symbol.iterator](): Iterator<FailureRule> {
    return this.#rules[Symbol.iterator]();
  }

  /** The first rule with a sign that matches both the message and the code. */
  findByMessage(message: string, code: string | undefined): FailureRule | undefined {
    return this.#rules.find(({ signs }) =>
      signs.some((sign) => !isCode(sign) && matchesCode(sign, code) && sign.message.test(message)),
    );
  }

  /** The rule with this code, or this class of SQLSTATEs (`23xxx`), as a sign. A test checks that only one rule has it. */
  findByCode(code: string): FailureRule | undefined {
    return this.#byCode.get(code);
  }
}

/** Whether a sign is a code, without a message. */
function isCode(sign: Sign): sign is string {
  return typeof sign === 'string';
}

function matchesCode({ codes = [] }: MessageSign, code: string | undefined): boolean {
  return code === undefined ? codes.length === 0 : codes.includes(code);
}
