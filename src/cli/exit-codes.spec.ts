import { expect, it } from '@jest/globals';
import { CONNECTION_RULES } from '../diagnosis/connection-rules.js';
import { EXIT, EXIT_CODE_OF } from './exit-codes.js';

const codesWith = (exitCode: number) => [
  ...new Set(
    [...CONNECTION_RULES].flatMap((rule) => (EXIT_CODE_OF[rule.category] === exitCode ? [rule.code] : [])),
  ),
];

it('the doctor ends with the exit code "network" when it does not reach PostgreSQL', () => {
  expect(codesWith(EXIT.network).sort()).toEqual([
    'CONNECTION_REFUSED',
    'CONNECTION_RESET',
    'CONNECT_TIMEOUT',
    'DNS_TEMPORARY_FAILURE',
    'HANDSHAKE_TIMEOUT',
    'HOST_NOT_FOUND',
    'HOST_UNREACHABLE',
    'NOT_POSTGRESQL',
    'SOCKET_FORBIDDEN',
    'TOO_MANY_OPEN_FILES',
  ]);
});

it('the doctor ends with the exit code "login" when the server refuses the login', () => {
  expect(codesWith(EXIT.login).sort()).toEqual([
    'CLIENT_NOT_ALLOWED',
    'DATABASE_CLOSED',
    'DATABASE_UNKNOWN',
    'LOGIN_METHOD_REFUSED',
    'LOGIN_REFUSED',
    'NEON_ENDPOINT_DISABLED',
    'NEON_ENDPOINT_NOT_FOUND',
    'NEON_ENDPOINT_UNNAMED',
    'PASSWORD_INVALID',
    'PASSWORD_MISSING',
    'PASSWORD_UNAVAILABLE',
    'PASSWORD_WRONG',
    'PERMISSION_DENIED',
    'ROLE_UNKNOWN',
    'SESSION_SETTING_INVALID',
  ]);
});

it('the doctor ends with the exit code "tls" for every failure of TLS and channel binding', () => {
  for (const code of codesWith(EXIT.tls)) expect(code).toMatch(/^(TLS_|CHANNEL_BINDING_)/);
  for (const { code, category } of CONNECTION_RULES)
    if (/^(TLS_|CHANNEL_BINDING_)/.test(code)) expect(category).toBe('tls');
});
