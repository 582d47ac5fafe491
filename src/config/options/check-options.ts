import type {
  ConnectRetrySettings,
  DatabaseModuleOptions,
  DatabaseSettings,
  MultiplexSettings,
  ReplicationServer,
  ReplicationSettings,
  SslSettings,
} from '../../database.options.js';
import { nearMiss } from '../problems/near-miss.js';
import type { Problems } from '../problems/problems.js';
import { shapeOf } from '../problems/value-shape.js';
import { group, isGroup, serverList, sessionValue } from '../settings/setting-types.js';
import type { SettingType } from '../settings/setting-types.js';
import { GROUPS, OPTION_NAMES, SETTINGS, SSL_MODES } from '../settings/settings.js';
import type { GroupName } from '../settings/settings.js';
import { EXTRA_REPLACED, KNOWN_OPTIONS, REPLACED, TLS_OPTIONS, TLS_REFUSED } from './known-options.js';
import type { Origins } from './origins.js';

/** The valid settings, in their long form. An invalid one is reported as a problem and is absent here. */
export interface CheckedSettings extends Omit<
  DatabaseSettings,
  'connectRetry' | 'multiplex' | 'replication'
> {
  readonly connectRetry?: ConnectRetrySettings;
  readonly multiplex?: MultiplexSettings;
  readonly replication?: CheckedReplication;
}

/** A valid server of `replication`. */
export interface CheckedReplicationServer extends Omit<ReplicationServer, 'ssl'> {
  readonly ssl?: SslSettings;
}

/** The valid servers. The list of replicas is absent when one of them is invalid; so is an invalid primary. */
interface CheckedReplication extends Pick<ReplicationSettings, 'defaultMode'> {
  readonly master?: CheckedReplicationServer;
  readonly slaves?: readonly CheckedReplicationServer[];
}

/** The servers of `replication`, each with its path in the options. */
export function replicationServers({ master, slaves = [] }: CheckedReplication = {}): [
  path: string,
  server: CheckedReplicationServer,
][] {
  const replicas = slaves.map((slave, index): [string, CheckedReplicationServer] => [
    `replication.slaves.${index}`,
    slave,
  ]);
  return master ? [['replication.master', master], ...replicas] : replicas;
}

/** Reports what is wrong with one value. */
type Report = (path: string, value: unknown, message: string) => void;

/** The rows of a group, by key. */
type Rows = Readonly<Record<string, { readonly type: SettingType }>>;

/**
 * Checks each option alone. `checkCombinations` compares the resolved options with each other.
 */
export function checkOptions(
  options: DatabaseModuleOptions,
  origins: Origins,
  problems: Problems,
): CheckedSettings {
  const report: Report = (path, value, message) => problems.add(origins.nameOf(path, value), message);
  checkNames(options, problems);
  if (options.type !== undefined && options.type !== 'postgres')
    problems.add('type', `${shapeOf(options.type)} is not supported; the only database is 'postgres'`);
  checkExtra(options.extra, problems);

  const checked: Record<string, unknown> = {};
  for (const name of OPTION_NAMES) {
    const value = inLongForm(name, options[name]);
    if (value !== undefined) checked[name] = checkOption(name, value, report);
  }
  const settings: CheckedSettings = checked;
  checkTlsOptions('ssl', settings.ssl, problems);
  for (const [path, server] of replicationServers(settings.replication))
    checkTlsOptions(`${path}.ssl`, server.ssl, problems);
  return settings;
}

/** Expands a short form: `connectRetry: 3` is `{ retries: 3 }`, and `replication: false` is no replication. */
function inLongForm(name: keyof DatabaseSettings, value: unknown): unknown {
  if (name === 'connectRetry' && typeof value === 'number') return { retries: value };
  if (name === 'multiplex' && value === false) return { connections: 0 };
  return name === 'replication' && value === false ? undefined : value;
}

/** Groups with a short form: `ssl: false` instead of `ssl: { … }`. */
const WITH_FLAG: ReadonlySet<keyof DatabaseSettings> = new Set(['ssl', 'echo', 'preparedStatements']);

function checkOption(name: keyof DatabaseSettings, value: unknown, report: Report): unknown {
  if (WITH_FLAG.has(name) && typeof value === 'boolean') return value;
  if (name === 'ssl' && typeof value === 'string') {
    report('ssl', value, sslTextProblem(value));
    return undefined;
  }
  if (name === 'session') return checkSession(value, report);
  if (name === 'replication') return checkReplication(value, report);
  if (Object.hasOwn(GROUPS, name)) return checkGroup(name, GROUPS[name as GroupName], value, report);
  return checkValue(name, SETTINGS[name as keyof typeof SETTINGS].type, value, report);
}

/** Other libraries take `ssl: 'require'`; the message says what to write here. */
function sslTextProblem(text: string): string {
  const mode = SSL_MODES.find((known) => known === text.toLowerCase());
  const meant = mode
    ? `write ssl: { mode: '${mode}' }`
    : `write true, false or { mode: … } with one of ${SSL_MODES.join(', ')}`;
  return `${group.problemOf(text)}; ${meant}`;
}

function checkValue(path: string, type: SettingType, value: unknown, report: Report): unknown {
  const problem = type.problemOf(value);
  if (problem === undefined) return value;
  report(path, value, problem);
  return undefined;
}

/** The valid settings of a group; undefined when the value is not a group. `ssl` keeps the options of `tls.connect`. */
function checkGroup(
  path: string,
  rows: Rows,
  value: unknown,
  report: Report,
): Record<string, unknown> | undefined {
  if (checkValue(path, group, value, report) === undefined) return undefined;
  const given = value as Record<string, unknown>;
  const isOpen = rows === GROUPS.ssl;
  const checked: Record<string, unknown> = isOpen ? { ...given } : {};
  for (const [key, { type }] of Object.entries(rows))
    if (given[key] !== undefined) checked[key] = checkValue(`${path}.${key}`, type, given[key], report);
  if (!isOpen)
    for (const key of Object.keys(given))
      if (!Object.hasOwn(rows, key)) report(`${path}.${key}`, given[key], unknownKey(path, key, rows));
  return checked;
}

function unknownKey(path: string, key: string, rows: Rows): string {
  const known = Object.keys(rows);
  const meant = nearMiss(key, known);
  return `is not a setting; ${meant ? `did you mean ${path}.${meant}?` : `known settings: ${known.join(', ')}`}`;
}

/** Names of PostgreSQL's settings, with a prefix for those of extensions: `search_path`, `app.tenant`. */
const POSTGRES_NAME = /^[A-Za-z_][\w$]*(?:\.[A-Za-z_][\w$]*)*$/;

function checkSession(value: unknown, report: Report): Record<string, unknown> | undefined {
  if (checkValue('session', group, value, report) === undefined) return undefined;
  const valid = Object.entries(value as object).filter(([key, setting]: [string, unknown]) => {
    const problem = sessionProblem(key, setting);
    if (problem !== undefined) report(`session.${key}`, setting, problem);
    return problem === undefined;
  });
  return Object.fromEntries(valid);
}

function sessionProblem(key: string, setting: unknown): string | undefined {
  if (!POSTGRES_NAME.test(key))
    return "is not the name of a PostgreSQL setting, as 'search_path' or 'app.tenant'";
  if (typeof setting === 'string' && setting.includes('\0')) return 'contains a null character';
  return sessionValue.problemOf(setting);
}

/** The rows of a server of `replication`: those of the top level, with `ssl` in its long form. */
const SERVER_ROWS: Rows = {
  url: SETTINGS.url,
  host: SETTINGS.host,
  port: SETTINGS.port,
  username: SETTINGS.username,
  password: SETTINGS.password,
  database: SETTINGS.database,
  ssl: { type: group },
  applicationName: SETTINGS.applicationName,
};

function checkReplication(value: unknown, report: Report): CheckedReplication | undefined {
  const checked = checkGroup('replication', GROUPS.replication, value, report);
  if (!checked) return undefined;
  if ((value as CheckedReplication).slaves === undefined)
    report('replication.slaves', undefined, serverList.problemOf(undefined)!);
  const { master, slaves, defaultMode } = checked as {
    master?: object;
    slaves?: unknown[];
  } & CheckedReplication;
  const servers = slaves?.map((slave, index) => checkServer(`replication.slaves.${index}`, slave, report));
  return {
    ...(master && { master: checkServer('replication.master', master, report) }),
    ...(servers?.every((server) => server !== undefined) && { slaves: servers }),
    ...(defaultMode && { defaultMode }),
  };
}

/** The checked server; undefined when anything in it is invalid. */
function checkServer(path: string, value: unknown, report: Report): CheckedReplicationServer | undefined {
  let isValid = true;
  const reportInvalid: Report = (...problem) => {
    isValid = false;
    report(...problem);
  };
  const ssl = isGroup(value) ? value['ssl'] : undefined;
  const longSsl = typeof ssl === 'boolean' ? { mode: ssl ? 'require' : 'disable' } : ssl;
  const server = isGroup(value) && ssl !== undefined ? { ...value, ssl: longSsl } : value;
  const checked = checkGroup(path, SERVER_ROWS, server, reportInvalid);
  if (checked?.['ssl'] !== undefined) checkGroup(`${path}.ssl`, GROUPS.ssl, checked['ssl'], reportInvalid);
  return isValid ? checked : undefined;
}

/** Refuses an unknown option only when it looks misspelled: a newer TypeORM may know it. */
function checkNames(options: object, problems: Problems): void {
  for (const [name, value] of Object.entries(options)) {
    if (value === undefined || KNOWN_OPTIONS.includes(name)) continue;
    const instead = Object.hasOwn(REPLACED, name) ? REPLACED[name] : undefined;
    if (instead !== undefined) {
      // `keepConnectionAlive: false` is what this module does in any case.
      if (value !== false) problems.add(name, `is not supported; ${instead}`);
      continue;
    }
    const meant = nearMiss(name, [...KNOWN_OPTIONS, ...Object.keys(REPLACED)]);
    if (meant === undefined)
      problems.warn(name, 'is not a known option of this module or of TypeORM; it is passed on to TypeORM');
    else problems.add(name, `is not a setting; ${REPLACED[meant] ?? `did you mean ${meant}?`}`);
  }
}

function checkExtra(extra: unknown, problems: Problems): void {
  if (extra === undefined) return;
  if (!isGroup(extra)) {
    problems.add('extra', `${shapeOf(extra)} is not a group of options for pg: { … }`);
    return;
  }
  for (const [key, value] of Object.entries(extra)) {
    const instead = Object.hasOwn(EXTRA_REPLACED, key) ? EXTRA_REPLACED[key] : undefined;
    if (instead !== undefined && value !== undefined)
      problems.add(`extra.${key}`, `would contradict the settings of this module; ${instead}`);
  }
}

/** `ssl` also takes the options of `tls.connect`. An unknown one is refused only when it looks misspelled. */
function checkTlsOptions(path: string, ssl: unknown, problems: Problems): void {
  if (!isGroup(ssl)) return;
  const known = [...Object.keys(GROUPS.ssl), ...TLS_OPTIONS];
  for (const [key, value] of Object.entries(ssl)) {
    if (value === undefined || known.includes(key)) continue;
    const meant = nearMiss(key, known);
    if (TLS_REFUSED.includes(key))
      problems.add(`${path}.${key}`, 'is not an option of TLS; use url or host and port');
    else if (meant !== undefined)
      problems.add(`${path}.${key}`, `is not a setting; did you mean ${path}.${meant}?`);
    else problems.warn(`${path}.${key}`, 'is not a known option of TLS; it is passed on to tls.connect');
  }
}
