import { lasting, passing, says } from './failures.js';
import type { Failure } from './failures.js';

const AGAIN = 'Run the whole transaction again';
const LIMIT = 'Make the statement smaller, or raise the limit that its message names.';

/**
 * What a statement can fail with on a connection that goes on, by SQLSTATEs of
 * https://www.postgresql.org/docs/current/errcodes-appendix.html; `23xxx` is any other code of a class.
 */
export const STATEMENT_FAILURES: readonly Failure[] = [
  // Other transactions
  passing(
    'SERIALIZATION_FAILURE',
    'the transaction could not be serialized with others that ran at the same time',
    `${AGAIN}.`,
    '40001',
  ),
  passing(
    'DEADLOCK',
    'the transaction and another one waited for each other',
    `${AGAIN}; take locks in the same order everywhere.`,
    '40P01',
  ),
  passing(
    'LOCK_TIMEOUT',
    'a lock was not to be had in time',
    'See pg_locks for its holder, or raise DB_LOCK_TIMEOUT.',
    says('canceling statement due to lock timeout', /due to lock timeout/, '55P03'),
  ),
  passing(
    'LOCK_NOT_AVAILABLE',
    'another transaction holds the lock, and the statement does not wait for it',
    'Try again, use SKIP LOCKED, or leave out NOWAIT.',
    '55P03',
  ),
  lasting(
    'TRANSACTION_ROLLED_BACK',
    'the server has rolled the transaction back',
    'See its message.',
    '40xxx',
  ),

  // Constraints
  lasting(
    'UNIQUE_VIOLATION',
    'a row with this key exists already',
    'Use another key, or INSERT … ON CONFLICT.',
    '23505',
  ),
  lasting(
    'FOREIGN_KEY_VIOLATION',
    'a row refers to one that does not exist, or other rows still refer to it',
    'Insert the row that is referred to first; delete it last.',
    '23503',
    '23001',
  ),
  lasting('NOT_NULL_VIOLATION', 'a column that needs a value has none', 'Give it a value.', '23502'),
  lasting(
    'CHECK_VIOLATION',
    'a row does not satisfy a check',
    'See the constraint that its message names.',
    '23514',
  ),
  lasting(
    'EXCLUSION_VIOLATION',
    'a row conflicts with another one by an exclusion constraint',
    'See the constraint that its message names.',
    '23P01',
  ),
  lasting(
    'CONSTRAINT_VIOLATION',
    'a constraint is violated',
    'See the constraint that its message names.',
    '23xxx',
    '27xxx',
    '44xxx',
  ),

  // Privileges
  lasting(
    'ROW_SECURITY_VIOLATION',
    'a row-level security policy does not allow this row',
    'See the policies of the table (pg_policies) and the settings that they read; a GRANT does not help.',
    says('new row violates row-level security policy for table "t"', /row-level security policy/, '42501'),
  ),
  lasting('PERMISSION_DENIED', 'this role lacks a privilege', 'GRANT it to the role.', '42501'),

  // Names and texts
  lasting(
    'TABLE_UNKNOWN',
    'there is no such table or view',
    'Correct its name or search_path, or create it.',
    '42P01',
  ),
  lasting('COLUMN_UNKNOWN', 'there is no such column', 'Correct its name, or add it.', '42703'),
  lasting(
    'FUNCTION_UNKNOWN',
    'there is no function of this name and these types',
    'Correct its name, cast its arguments, or create it.',
    '42883',
  ),
  lasting('SCHEMA_UNKNOWN', 'there is no such schema', 'Correct its name, or create it.', '3F000'),
  lasting('DATABASE_UNKNOWN', 'there is no such database', 'Correct its name, or create it.', '3D000'),
  lasting(
    'OBJECT_UNKNOWN',
    'there is no such type, role, setting or other object',
    'Correct its name, or create it.',
    '42704',
    '42P02',
    '34xxx',
  ),
  lasting(
    'OBJECT_EXISTS',
    'an object of this name exists already',
    'Use another name, drop the other one, or IF NOT EXISTS.',
    '42701',
    '42710',
    '42712',
    '42723',
    '42P03',
    '42P04',
    '42P06',
    '42P07',
  ),
  lasting('SYNTAX_ERROR', 'the statement is not SQL as PostgreSQL knows it', 'Correct its text.', '42601'),
  lasting(
    'TYPE_MISMATCH',
    'types do not fit, or cannot be told',
    'Cast the value.',
    '42804',
    '42846',
    '42P18',
  ),
  lasting(
    'STATEMENT_INVALID',
    'the statement does not fit the objects that it names',
    'Correct its text.',
    '42xxx',
  ),
  lasting('FEATURE_UNSUPPORTED', 'the server does not support this', 'See its message.', '0Axxx'),
  lasting(
    'PROTOCOL_VIOLATION',
    'the server could not make sense of what it was sent',
    'Count the values: each $n of the text needs one.',
    '08P01',
  ),
  lasting(
    'PREPARED_STATEMENT_UNKNOWN',
    'the session does not know this prepared statement',
    'Prepare it again; DISCARD ALL and DEALLOCATE forget it.',
    '26xxx',
  ),
  lasting(
    'PREPARED_STATEMENT_EXISTS',
    'the session knows a prepared statement of this name already',
    'Use another name, or DEALLOCATE it.',
    '42P05',
  ),

  // Values
  lasting(
    'VALUE_MALFORMED',
    'a value is not written as its type wants it',
    'Correct the value.',
    '22P02',
    '22007',
  ),
  lasting(
    'VALUE_OUT_OF_RANGE',
    'a value is out of the range of its type',
    'Correct the value or the type.',
    '22003',
    '22008',
  ),
  lasting('VALUE_TOO_LONG', 'a text is too long for its column', 'Shorten it, or widen the column.', '22001'),
  lasting('DIVISION_BY_ZERO', 'something was divided by zero', 'Use NULLIF for the divisor.', '22012'),
  lasting('VALUE_INVALID', 'a value cannot be used here', 'Correct the value.', '22xxx'),
  lasting(
    'TOO_MANY_ROWS',
    'there are more rows than may be: of a subquery, or for one ON CONFLICT DO UPDATE',
    'Narrow its conditions.',
    '21xxx',
  ),

  // Transactions
  lasting(
    'TRANSACTION_FAILED',
    'an earlier statement of the transaction failed, and the server refuses all others until its end',
    'Roll back; the error of the earlier statement says why.',
    '25P02',
  ),
  lasting(
    'SERVER_READ_ONLY',
    'the server or the transaction is read-only; a standby always is',
    'Name the primary in DB_URL; or see default_transaction_read_only of the role.',
    '25006',
  ),
  lasting(
    'TRANSACTION_STATE_INVALID',
    'the statement does not fit the state of the transaction',
    'See its message: it may not run inside of one, or not without one.',
    '25xxx',
    '2Dxxx',
    '3Bxxx',
  ),

  // Objects
  lasting('DEPENDENT_OBJECTS', 'other objects depend on this one', 'Drop them first, or CASCADE.', '2BP01'),
  lasting('OBJECT_IN_USE', 'the object is in use', 'See pg_stat_activity for its users.', '55006'),
  lasting('OBJECT_STATE_INVALID', 'the object is not in a state for this', 'See its message.', '55xxx'),

  // Ends and limits
  lasting(
    'STATEMENT_TIMEOUT',
    'the statement took longer than it may',
    'Make it faster, or raise DB_STATEMENT_TIMEOUT.',
    says('canceling statement due to statement timeout', /due to statement timeout/, '57014'),
  ),
  lasting(
    'STATEMENT_CANCELLED',
    'the statement was cancelled',
    'It was pg_cancel_backend, a shutdown, or a client that went away (cancelOnDisconnect).',
    '57014',
  ),
  passing('SERVER_OVERLOADED', 'the server lacks memory or disk', 'See the log of the server.', '53xxx'),
  lasting('LIMIT_EXCEEDED', 'the statement exceeds a limit of the server', LIMIT, '53400', '54xxx'),
  lasting(
    'RAISED_EXCEPTION',
    'a function or a trigger of the database raised this error',
    'See its message, and where it names the function.',
    'P0xxx',
    '38xxx',
    '39xxx',
    '09xxx',
  ),
  lasting(
    'FOREIGN_SERVER_FAILED',
    'another server, which the statement asks by dblink or a foreign table, failed or was not reached',
    'See its message, and the user mapping of the foreign server.',
    '08xxx',
    'HVxxx',
  ),
  lasting(
    'SERVER_SYSTEM_ERROR',
    "the server's operating system failed it",
    'See the log of the server.',
    '58xxx',
  ),
  lasting(
    'SERVER_INTERNAL',
    'the server met an error of its own, or damaged data',
    'See the log of the server.',
    'XXxxx',
  ),
];
