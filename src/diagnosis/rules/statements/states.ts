import type { FailureRule } from '../../failure-rule.js';

/** States of a transaction, or of an object, that do not allow the statement. */
export const STATES: readonly FailureRule[] = [
  {
    code: 'TRANSACTION_FAILED',
    category: 'statement',
    meaning:
      'an earlier statement of the transaction failed, and the server rejects further statements until the transaction ends',
    hint: 'Roll the transaction back. See the error of the earlier statement.',
    signs: ['25P02'],
  },
  {
    code: 'SERVER_READ_ONLY',
    category: 'statement',
    meaning: 'the server or the transaction is read-only; a standby always is',
    hint: 'Name the primary in DB_URL, or see default_transaction_read_only of the role.',
    signs: ['25006'],
  },
  {
    code: 'TRANSACTION_STATE_INVALID',
    category: 'statement',
    meaning: 'the state of the transaction does not allow the statement',
    hint: 'See the message of the error. Some statements run only inside a transaction, and some only outside.',
    signs: ['25xxx', '2Dxxx', '3Bxxx'],
  },
  {
    code: 'DEPENDENT_OBJECTS',
    category: 'statement',
    meaning: 'other objects depend on this one',
    hint: 'Drop them first, or use CASCADE.',
    signs: ['2BP01'],
  },
  {
    code: 'OBJECT_IN_USE',
    category: 'statement',
    meaning: 'the object is in use',
    hint: 'See pg_stat_activity for the sessions that use it.',
    signs: ['55006'],
  },
  {
    code: 'OBJECT_STATE_INVALID',
    category: 'statement',
    meaning: 'the state of the object does not allow the statement',
    hint: 'See the message of the error.',
    signs: ['55xxx'],
  },
];
