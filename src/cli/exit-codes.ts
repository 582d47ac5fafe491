/** How the doctor ends, by the class of the first failure. */
export const EXIT = {
  /** Everything is all right; there may be warnings. */
  healthy: 0,
  /** Wrong use of the command, or a failure of the command itself. */
  usage: 1,
  /** The settings are wrong. */
  settings: 2,
  /** Name, address, network, or something else on the port. */
  network: 3,
  tls: 4,
  /** User, password, database or admission. */
  login: 5,
  /** The server, or the pooler before it, is there and does not serve. */
  server: 6,
  /** The file of variables is not there, or cannot be read. */
  file: 7,
} as const;

export type ExitCode = (typeof EXIT)[keyof typeof EXIT];

const NETWORK = [
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
];
const LOGIN = [
  'CLIENT_NOT_ALLOWED',
  'DATABASE_CLOSED',
  'DATABASE_UNKNOWN',
  'LOGIN_METHOD_REFUSED',
  'LOGIN_REFUSED',
  'NEON_ENDPOINT_DISABLED',
  'NEON_ENDPOINT_NOT_FOUND',
  'NEON_ENDPOINT_UNNAMED',
  'PASSWORD_MISSING',
  'PASSWORD_UNAVAILABLE',
  'PASSWORD_WRONG',
  'PERMISSION_DENIED',
  'ROLE_UNKNOWN',
  'SESSION_SETTING_INVALID',
];

/** The class of a diagnosis' code. */
export function exitCodeOf(code: string): ExitCode {
  if (code.startsWith('TLS_') || code.startsWith('CHANNEL_BINDING')) return EXIT.tls;
  if (NETWORK.includes(code)) return EXIT.network;
  if (LOGIN.includes(code)) return EXIT.login;
  return EXIT.server;
}
