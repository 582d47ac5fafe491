import type { z } from 'zod';
import type { DatabaseModuleOptions, SslSettings } from '../../database.options.js';
import { EXTRA_REPLACED, knownKeys, REPLACED, TLS_KEYS, TLS_REFUSED } from './known-options.js';
import { nearMiss } from '../problems/near-miss.js';
import type { Origins } from './origins.js';
import type { Problems } from '../problems/problems.js';
import { REPLICATION_SERVER_KEYS, SETTINGS } from '../settings/schema.js';
import type { SettingName } from '../settings/schema.js';
import { shapeOf } from '../problems/value-shape.js';
import { SSL_MODES } from '../tls/ssl.js';

type Output<K extends SettingName> = z.output<(typeof SETTINGS)[K]>;
/** What was given and is right; what is wrong has become a problem and is absent. */
export type CheckedSettings = { readonly [K in Exclude<SettingName, 'ssl' | 'echo'>]?: Output<K> } & {
  readonly ssl?: boolean | SslSettings;
  readonly echo?: boolean | Output<'echo'>;
};

export type CheckedReplicationServer = NonNullable<Output<'replication'>['master']>;

/** The servers of `replication` that were given, each with its path in the options. */
export function replicationServers(
  replication: CheckedSettings['replication'],
): [path: string, server: CheckedReplicationServer][] {
  // A list with a wrong server in it is absent.
  const { master, slaves = [] } = (replication ?? {}) as Partial<NonNullable<typeof replication>>;
  return [
    ...(master ? [['replication.master', master] as [string, CheckedReplicationServer]] : []),
    ...slaves.map((slave, index): [string, CheckedReplicationServer] => [
      `replication.slaves.${index}`,
      slave,
    ]),
  ];
}

const NAMES = Object.keys(SETTINGS) as SettingName[];
const KNOWN = knownKeys(NAMES);

/** Judges every key that is there by itself; what contradicts what is judged when they are put together. */
export function checkOptions(
  options: DatabaseModuleOptions,
  origins: Origins,
  problems: Problems,
): CheckedSettings {
  checkKeys(options, problems);
  if (options.type !== undefined && options.type !== 'postgres')
    problems.add('type', `${shapeOf(options.type)} is not supported; the only database is 'postgres'`);
  checkExtra(options.extra, problems);
  const checked: Record<string, unknown> = {};
  for (const name of NAMES) {
    const value = longForm(name, options[name]);
    if (value === undefined) continue;
    if (name === 'ssl' && typeof value === 'string') {
      problems.add('ssl', sslText(value));
      continue;
    }
    if ((name === 'ssl' || name === 'echo') && typeof value === 'boolean') checked[name] = value;
    else checked[name] = checkOne(name, value, origins, problems);
  }
  checkTlsKeys('ssl', checked['ssl'], problems);
  for (const [path, server] of replicationServers(checked['replication'] as CheckedSettings['replication']))
    checkTlsKeys(`${path}.ssl`, server.ssl, problems);
  return checked;
}

/** What was meant by a text, as other libraries take it. */
function sslText(text: string): string {
  const mode = SSL_MODES.find((known) => known === text.toLowerCase());
  const meant = mode
    ? `write ssl: { mode: '${mode}' }`
    : `allowed are true, false and { mode: … }, one of ${SSL_MODES.join(', ')}`;
  return `${shapeOf(text)} is not a group of settings: { … }; ${meant}`;
}

/** `connectRetry: 3` stands for `{ retries: 3 }`; `replication: false` says what is the case without it. */
function longForm(name: SettingName, value: unknown): unknown {
  if (name === 'connectRetry' && typeof value === 'number') return { retries: value };
  return name === 'replication' && value === false ? undefined : value;
}

function checkOne(name: SettingName, value: unknown, origins: Origins, problems: Problems): unknown {
  const result = SETTINGS[name].safeParse(value);
  if (result.success) return result.data;
  for (const issue of result.error.issues) {
    const path = [name, ...issue.path].join('.');
    if (issue.code === 'unrecognized_keys') {
      for (const key of issue.keys) problems.add(`${path}.${key}`, unknownKey(path, key));
      continue;
    }
    const wrong = issue.path.reduce<unknown>(
      (from, key) => (from as Record<PropertyKey, unknown>)[key],
      value,
    );
    problems.add(
      origins.nameOf(path, wrong),
      issue.code === 'invalid_key' ? issue.issues[0]!.message : issue.message,
    );
  }
  return remainder(value, result.error.issues);
}

/** The settings of a group that are right, so that what contradicts them is told in the same error. */
function remainder(value: unknown, issues: readonly z.core.$ZodIssue[]): unknown {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) return undefined;
  const wrong = issues.flatMap((issue) =>
    issue.code === 'unrecognized_keys' && issue.path.length === 0 ? issue.keys : issue.path.slice(0, 1),
  );
  return Object.fromEntries(Object.entries(value).filter(([key]) => !wrong.includes(key)));
}

/** @param path of the group: `pool`, `replication.slaves.0` */
function unknownKey(path: string, key: string): string {
  const known = keysOf(path);
  const meant = nearMiss(key, known);
  return `is not a setting; ${meant ? `did you mean ${path}.${meant}?` : `there are ${known.join(', ')}`}`;
}

function keysOf(path: string): readonly string[] {
  if (/^replication\../.test(path)) return REPLICATION_SERVER_KEYS;
  const schema = SETTINGS[path as SettingName];
  return 'shape' in schema ? Object.keys(schema.shape) : [];
}

/** TypeORM may have options that we don't know, so only what looks misspelt is refused. */
function checkKeys(options: object, problems: Problems): void {
  for (const key of Object.keys(options)) {
    const value = (options as Record<string, unknown>)[key];
    if (value === undefined || KNOWN.includes(key)) continue;
    const instead = Object.hasOwn(REPLACED, key) ? REPLACED[key] : undefined;
    if (instead !== undefined) {
      // Switched off, it says what is the case here anyway.
      if (value !== false) problems.add(key, `is not supported; ${instead}`);
      continue;
    }
    const meant = nearMiss(key, [...KNOWN, ...Object.keys(REPLACED)]);
    if (meant === undefined)
      problems.warn(key, 'is neither a setting of this module nor a known one of TypeORM; it is passed on');
    else {
      const hint = REPLACED[meant];
      problems.add(key, `is not a setting; ${hint ?? `did you mean ${meant}?`}`);
    }
  }
}

function checkExtra(extra: unknown, problems: Problems): void {
  if (extra === undefined) return;
  if (typeof extra !== 'object' || extra === null || Array.isArray(extra)) {
    problems.add('extra', `${shapeOf(extra)} is not a group of options for pg: { … }`);
    return;
  }
  for (const [key, value] of Object.entries(extra)) {
    const instead = Object.hasOwn(EXTRA_REPLACED, key) ? EXTRA_REPLACED[key] : undefined;
    if (instead !== undefined && value !== undefined)
      problems.add(`extra.${key}`, `would contradict the settings of this module; ${instead}`);
  }
}

function checkTlsKeys(path: string, ssl: unknown, problems: Problems): void {
  if (typeof ssl !== 'object' || ssl === null) return;
  const known = [...Object.keys(SETTINGS.ssl.shape), ...TLS_KEYS];
  for (const [key, value] of Object.entries(ssl)) {
    if (value === undefined || known.includes(key)) continue;
    const meant = nearMiss(key, known);
    if (TLS_REFUSED.includes(key))
      problems.add(`${path}.${key}`, 'is not a matter of TLS; use url or host and port');
    else if (meant !== undefined)
      problems.add(`${path}.${key}`, `is not a setting; did you mean ${path}.${meant}?`);
    else problems.warn(`${path}.${key}`, 'is not a known option of TLS; it is passed on');
  }
}
