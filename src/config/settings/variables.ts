import { SETTING_ROWS } from './settings.js';
import type { Setting, SettingPath } from './settings.js';

/** An environment variable that sets a setting. */
export interface Variable {
  readonly name: string;
  /** Another name, read when `name` is not set. */
  readonly alias?: string;
  /** The path of the setting. */
  readonly path: SettingPath;
  readonly setting: Setting;
  /** Whether it holds the path of a file with the value, instead of the value. */
  readonly isFile: boolean;
  /** What it sets, in one sentence. */
  readonly text: string;
  readonly example: string;
}

/** All variables, in the order of the settings. */
export const VARIABLES: readonly Variable[] = SETTING_ROWS.flatMap((row) => {
  const { path, variable, alias, file, text, example = '' } = row;
  if (variable === undefined) return [];
  const own = { path, setting: row };
  return [
    { ...own, name: variable, ...(alias !== undefined && { alias }), isFile: false, text, example },
    ...(file ? [{ ...own, name: file.variable, isFile: true, text: file.text, example: file.example }] : []),
  ];
});

/** Names that other libraries and templates have for these variables. */
export const FOREIGN_NAMES: ReadonlyMap<string, string> = new Map([
  ['DB_CONNECTION_STRING', 'DB_URL'],
  ['DB_CONNECTION_URL', 'DB_URL'],
  ['DB_DSN', 'DB_URL'],
  ['DB_URI', 'DB_URL'],
  ['DB_ADDRESS', 'DB_HOST'],
  ['DB_HOSTNAME', 'DB_HOST'],
  ['DB_SERVER', 'DB_HOST'],
  ['DB_LOGIN', 'DB_USERNAME'],
  ['DB_ROLE', 'DB_USERNAME'],
  ['DB_USER', 'DB_USERNAME'],
  ['DB_PASS', 'DB_PASSWORD'],
  ['DB_PASSWD', 'DB_PASSWORD'],
  ['DB_PWD', 'DB_PASSWORD'],
  ['DB_DATABASE', 'DB_NAME'],
  ['DB_DATABASE_NAME', 'DB_NAME'],
  ['DB_DBNAME', 'DB_NAME'],
  ['DB_SSL', 'DB_SSL_MODE'],
  ['DB_SSL_ENABLED', 'DB_SSL_MODE'],
  ['DB_SSL_REJECT_UNAUTHORIZED', 'DB_SSL_MODE'],
  ['DB_TLS', 'DB_SSL_MODE'],
  ['DB_CA', 'DB_SSL_CA'],
  ['DB_CA_CERT', 'DB_SSL_CA'],
  ['DB_SSL_CA_FILE', 'DB_SSL_CA'],
  ['DB_SSL_ROOT_CERT', 'DB_SSL_CA'],
  ['DB_CONNECTION_LIMIT', 'DB_POOL_SIZE'],
  ['DB_MAX_CONNECTIONS', 'DB_POOL_SIZE'],
  ['DB_POOL', 'DB_POOL_SIZE'],
  ['DB_POOL_MAX', 'DB_POOL_SIZE'],
  ['DB_POOL_MAX_OVERFLOW', 'DB_MAX_OVERFLOW'],
  ['DB_ACQUIRE_TIMEOUT', 'DB_POOL_TIMEOUT'],
  ['DB_POOL_ACQUIRE_TIMEOUT', 'DB_POOL_TIMEOUT'],
  ['DB_MAX_LIFETIME', 'DB_POOL_RECYCLE'],
  ['DB_CONNECTION_TIMEOUT', 'DB_CONNECT_TIMEOUT'],
  ['DB_QUERY_TIMEOUT', 'DB_STATEMENT_TIMEOUT'],
  ['DB_RETRIES', 'DB_CONNECT_RETRIES'],
  ['DB_RETRY_ATTEMPTS', 'DB_CONNECT_RETRIES'],
  ['DB_APP_NAME', 'DB_APPLICATION_NAME'],
  ['DB_LOG', 'DB_ECHO'],
  ['DB_LOGGING', 'DB_ECHO'],
]);
