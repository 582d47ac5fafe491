import type { FailureRule } from '../../failure-rule.js';

/** Constraints, privileges and policies that a statement violates. */
export const CONSTRAINTS: readonly FailureRule[] = [
  {
    code: 'UNIQUE_VIOLATION',
    category: 'statement',
    meaning: 'a row with this key already exists',
    hint: 'Use another key, or INSERT … ON CONFLICT.',
    signs: ['23505'],
  },
  {
    code: 'FOREIGN_KEY_VIOLATION',
    category: 'statement',
    meaning: 'a row refers to a row that does not exist, or other rows still refer to this one',
    hint: 'Insert the referenced row first, and delete it last.',
    signs: ['23503', '23001'],
  },
  {
    code: 'NOT_NULL_VIOLATION',
    category: 'statement',
    meaning: 'a NOT NULL column has no value',
    hint: 'Give the column a value.',
    signs: ['23502'],
  },
  {
    code: 'CHECK_VIOLATION',
    category: 'statement',
    meaning: 'a row does not satisfy a check constraint',
    hint: 'See the constraint that the message names.',
    signs: ['23514'],
  },
  {
    code: 'EXCLUSION_VIOLATION',
    category: 'statement',
    meaning: 'a row conflicts with another row by an exclusion constraint',
    hint: 'See the constraint that the message names.',
    signs: ['23P01'],
  },
  {
    code: 'CONSTRAINT_VIOLATION',
    category: 'statement',
    meaning: 'the statement violates a constraint',
    hint: 'See the constraint that the message names.',
    signs: ['23xxx', '27xxx', '44xxx'],
  },
  {
    code: 'ROW_SECURITY_VIOLATION',
    category: 'statement',
    meaning: 'a row-level security policy does not allow this row',
    hint: 'See the policies of the table (pg_policies) and the settings that they read. A GRANT does not change this.',
    signs: [
      {
        message: /row-level security policy/,
        example: 'new row violates row-level security policy for table "t"',
        codes: ['42501'],
      },
    ],
  },
  {
    code: 'PERMISSION_DENIED',
    category: 'statement',
    meaning: 'the role lacks a privilege',
    hint: 'GRANT the privilege to the role.',
    signs: ['42501'],
  },
];
