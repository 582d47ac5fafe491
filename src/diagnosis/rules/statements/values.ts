import type { FailureRule } from '../../failure-rule.js';

/** Values that a statement cannot use. */
export const VALUES: readonly FailureRule[] = [
  {
    code: 'VALUE_MALFORMED',
    category: 'statement',
    meaning: 'the text of a value is not valid for its type',
    hint: 'Correct the value.',
    signs: ['22P02', '22007'],
  },
  {
    code: 'VALUE_OUT_OF_RANGE',
    category: 'statement',
    meaning: 'a value is outside the range of its type',
    hint: 'Correct the value or the type.',
    signs: ['22003', '22008'],
  },
  {
    code: 'VALUE_TOO_LONG',
    category: 'statement',
    meaning: 'a string is too long for its column',
    hint: 'Shorten the string, or widen the column.',
    signs: ['22001'],
  },
  {
    code: 'DIVISION_BY_ZERO',
    category: 'statement',
    meaning: 'the statement divides by zero',
    hint: 'Use NULLIF for the divisor.',
    signs: ['22012'],
  },
  {
    code: 'VALUE_INVALID',
    category: 'statement',
    meaning: 'a value is not allowed here',
    hint: 'Correct the value.',
    signs: ['22xxx'],
  },
  {
    code: 'TOO_MANY_ROWS',
    category: 'statement',
    meaning: 'a subquery returns more than one row, or ON CONFLICT DO UPDATE changes a row twice',
    hint: 'Make the conditions stricter.',
    signs: ['21xxx'],
  },
];
