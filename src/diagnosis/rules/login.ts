import type { FailureRule } from '../failure-rule.js';

/** User, password, database and pg_hba.conf. */
export const LOGIN: readonly FailureRule[] = [
  {
    code: 'PASSWORD_WRONG',
    category: 'login',
    meaning: 'the server refused the user or the password',
    hint: 'Correct them in DB_URL, with @ / ? # % in the password percent-encoded. The server gives the same answer for a role that does not exist.',
    signs: [
      '28P01',
      {
        message: /(password|SASL) authentication failed/,
        example: 'password authentication failed for user',
        codes: ['XX000', '08P01', '28000'],
      },
    ],
  },
  {
    code: 'PASSWORD_UNAVAILABLE',
    category: 'login',
    meaning: 'the password function failed, or did not return in time',
    hint: 'See the error of the function. DB_CONNECT_TIMEOUT sets its limit.',
    transient: true,
    signs: ['PASSWORD_UNAVAILABLE'],
  },
  {
    code: 'PASSWORD_INVALID',
    category: 'login',
    meaning: 'the password function returned something that is not a password',
    hint: 'Return a string, or { password, expiresAt }.',
    signs: ['PASSWORD_INVALID'],
  },
  {
    code: 'PASSWORD_MISSING',
    category: 'login',
    meaning: 'the server requests a password, and none is set',
    hint: 'Put the password into DB_URL.',
    signs: [
      {
        message: /client password must be a (non-empty )?string|no password supplied/i,
        example: 'client password must be a string',
      },
    ],
  },
  {
    code: 'LOGIN_METHOD_REFUSED',
    category: 'login',
    meaning: 'the server requests an authentication method that require_auth does not allow',
    hint: 'Change the method in pg_hba.conf of the server, or change require_auth in DB_URL.',
    signs: ['LOGIN_METHOD_REFUSED'],
  },
  {
    code: 'ROLE_UNKNOWN',
    category: 'login',
    meaning: 'the role does not exist',
    hint: 'Correct the user in DB_URL, or create the role with CREATE ROLE.',
    signs: [
      {
        message: /role ".{0,300}" does not exist|no such user|tenant or user not found/i,
        example: 'role "app" does not exist',
        codes: ['28000', '08P01', 'XX000'],
      },
    ],
  },
  {
    code: 'CLIENT_NOT_ALLOWED',
    category: 'login',
    meaning: 'pg_hba.conf of the server does not allow this combination of user, database and address',
    hint: 'Add a matching line to pg_hba.conf, or connect from an address that it allows.',
    signs: [
      {
        message: /no pg_hba\.conf entry|pg_hba\.conf rejects/,
        example: 'no pg_hba.conf entry for host "127.0.0.1", user "app", database "app", SSL encryption',
        codes: ['28000'],
      },
    ],
  },
  {
    code: 'LOGIN_REFUSED',
    category: 'login',
    meaning: 'the server refused the login',
    hint: 'Check that the role may log in (ALTER ROLE … LOGIN), and which authentication method pg_hba.conf requires.',
    signs: ['28000'],
  },
  {
    code: 'DATABASE_UNKNOWN',
    category: 'login',
    meaning: 'the database does not exist',
    hint: 'Create it, or correct its name in DB_URL.',
    signs: ['3D000', { message: /no such database/, example: 'no such database: app', codes: ['08P01'] }],
  },
  {
    code: 'DATABASE_CLOSED',
    category: 'login',
    meaning: 'the database accepts no connections',
    hint: 'Run ALTER DATABASE … ALLOW_CONNECTIONS true, or name another database in DB_URL.',
    signs: [
      {
        message:
          /not (currently )?accept(ing)? connections|does not allow connections|database .{0,300} is disabled/i,
        example: 'database "app" is not currently accepting connections',
        codes: ['55000', '08P01'],
      },
    ],
  },
  {
    code: 'SESSION_SETTING_INVALID',
    category: 'login',
    meaning: 'the server does not recognise a session setting, or refuses its value',
    hint: 'Correct the option session, or options in DB_URL.',
    signs: [
      {
        message:
          /unrecognized configuration parameter|invalid (configuration parameter name|value for parameter)/,
        example: 'unrecognized configuration parameter "work_men"',
        codes: ['42704', '22023', '42602'],
      },
    ],
  },
  {
    code: 'PERMISSION_DENIED',
    category: 'login',
    meaning: 'the role lacks a privilege',
    hint: 'GRANT the privilege to the role, or name another role in DB_URL.',
    signs: ['42501'],
  },
];
