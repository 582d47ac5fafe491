import { describe, expect, it } from '@jest/globals';
import { readEnvironment } from '../../src/config/environment/environment.js';
import { isLocalHost, isThisMachine } from '../../src/config/url/local-host.js';
import { parseRequireAuth } from '../../src/config/url/require-auth.js';
import { nearMiss } from '../../src/config/problems/near-miss.js';
import { neonHost } from '../../src/config/url/neon.js';
import { readPem } from '../../src/config/tls/pem.js';
import { shapeOf } from '../../src/config/problems/value-shape.js';
import { parseDatabaseUrl } from '../../src/config/url/database-url.js';
import { hostName } from '../../src/config/url/host-name.js';
import { isDisconnect } from '../../src/connection/wire/disconnect.js';
import { startupOptions } from '../../src/connection/session/session-settings.js';
import {
  tagChangesSession,
  textChangesSession,
  mentionsStatementTimeout,
} from '../../src/connection/session/statement-effects.js';
import { isSingleRepeatableStatement } from '../../src/connection/statements/repeatable-statement.js';
import { statementText } from '../../src/data-source/logging/database.logger.js';
import { plainCause } from '../../src/errors/plain-cause.js';
import { redact, shortSql } from '../../src/text/masking.js';
import { diagnose } from '../../src/diagnosis/diagnose.js';

const LENGTH = 100_000;
/** A linear reader needs a few milliseconds for such a length, a quadratic one seconds. */
const BOUND_MS = 50;
/** Even on a busy machine. */
const HARD_BOUND_MS = 250;
/** What is linear takes 4 times as long for 4 times the length, what is quadratic 16 times. */
const MAX_GROWTH = 8;

/** The CPU time of this process in milliseconds; other processes on the machine do not count. */
function cpuMs(): number {
  const { user, system } = process.cpuUsage();
  return (user + system) / 1_000;
}

/** The shortest of some runs, in milliseconds of CPU time. */
function bestOf(runs: number, work: () => unknown, boundMs = 0): number {
  let best = Infinity;
  for (let run = 0; run < runs && best > boundMs; run += 1) {
    const began = cpuMs();
    work();
    best = Math.min(best, cpuMs() - began);
  }
  return best;
}

/**
 * The time of `work` for a text, when it is too long: above the bound, and growing faster than the length, or above the
 * hard bound.
 */
function excessMs(text: (length: number) => string, work: (text: string) => unknown): number | undefined {
  const whole = text(LENGTH);
  const ms = bestOf(3, () => work(whole), BOUND_MS);
  if (ms <= BOUND_MS) return undefined;
  const quarter = text(LENGTH / 4);
  const growth = Math.min(
    ...[1, 2, 3].map(() => bestOf(5, () => work(whole)) / bestOf(5, () => work(quarter))),
  );
  return ms > HARD_BOUND_MS || growth > MAX_GROWTH ? ms : undefined;
}

const repeated = (piece: string) => (length: number) =>
  piece.repeat(Math.ceil(length / piece.length)).slice(0, length);
const PIECES = [
  ...[' ', '\n', '(', "'", '"', '/*', '--', '-', '/', '$', '$a', '$$', '\\', "\\'", ';', '%', '@', '.', ','],
  ...['a', 'a.', 'Z', '0', '0 ', '_', 'é', "E'", "''", "' '", '$1', '=', '?', '&a', '&a=1', '[', ':', '%41'],
  ...[
    'SET LOCAL ',
    'set_config',
    'set_config(',
    "set_config('",
    "set_config('a'::",
    'set_config($1,',
    'INTO ',
  ],
  ...["set_config('a','", 'CREATE ', 'TEMP ', 'pg_settings ', 'update ', 'hold', 'SELECT ', 'INSERT INTO '],
  ...[
    'password ',
    "password '",
    "password E'\\",
    'password $a',
    'password=',
    'postgres://',
    '//',
    '//a@',
    'ssl',
  ],
  ...['no pg_hba.conf entry ', 'exceeded the ', 'IP address', 'role "', 'database ', 'project ', 'timeout '],
  ...[
    'unsupported startup parameter: ',
    '-----BEGIN ',
    '-----BEGIN A',
    'ep-a-',
    '-pooler',
    '.neon.',
    'neon.tech.',
  ],
];
/** Different letters, for a reader that compares each with all others. */
const ALPHABET = Array.from({ length: LENGTH }, (_, at) => String.fromCharCode(0x4e00 + (at % 20_000))).join(
  '',
);
const CORES = [...PIECES.map(repeated), (length: number) => ALPHABET.slice(0, length)];

const ENDS: [string, string][] = [
  ['', ''],
  ['', '\nx'],
  ["SET LOCAL app.tenant = '", ";x'"],
  ['SET LOCAL a = 1', ';x'],
  ["SELECT set_config('a', ", ', true)'],
  ['ALTER ROLE app PASSWORD ', '!'],
  ['INSERT INTO t VALUES (', ')'],
  ['postgres://', '!'],
];

const READERS: Record<string, (text: string) => unknown> = {
  'the text of a statement': textChangesSession,
  'the text behind the tag SET': (text) => tagChangesSession('SET', text),
  'the text behind the tag DECLARE CURSOR': (text) => tagChangesSession('DECLARE CURSOR', text),
  'a time limit in a statement': mentionsStatementTimeout,
  'a statement that is to be sent again': isSingleRepeatableStatement,
  'a statement for a message': (text) => shortSql(text, LENGTH),
  'a statement for the log': (text) =>
    statementText(text, undefined, { maxLength: LENGTH, parameters: false }),
  'a text with URLs': redact,
  'the message of an error': (text) => diagnose(new Error(text)),
  'the message of an error with the code of a pooler': (text) =>
    diagnose(Object.assign(new Error(text), { code: '08P01' })),
  'the message of an error with the code of Neon': (text) =>
    diagnose(Object.assign(new Error(text), { code: 'XX000' })),
  'the message of a refused login': (text) => diagnose(Object.assign(new Error(text), { code: '28000' })),
  "a stranger's error": (text) => plainCause({ message: text, stack: text }),
  'the end of a connection': (text) => isDisconnect(new Error(text)),
  'the value of a setting': (text) => startupOptions({ a: text.replaceAll('\0', '') }),
  'the name of a setting': (text) => {
    try {
      return startupOptions({ [text]: 1 });
    } catch {
      return undefined;
    }
  },
  'a URL': parseDatabaseUrl,
  'the host of a URL': (text) => parseDatabaseUrl(`postgres://u:p@${text}/db`),
  'the parameters of a URL': (text) => parseDatabaseUrl(`postgres://u:p@h/db?a=${text}`),
  'a host': (text) => [hostName(text), neonHost(text), isLocalHost(text), isThisMachine(text)],
  'the methods of a login': (text) => parseRequireAuth(text, []),
  'PEM text': (text) => readPem(`-----BEGIN ${text}`, 'key'),
  'the name of an option': (text) => nearMiss(text, ['size', 'maxOverflow']),
  'what a value looks like': shapeOf,
};

describe('100 000 characters take time that is linear in their number for', () => {
  it.each(Object.entries(READERS))('%s', (_, read) => {
    const slow: string[] = [];
    for (const core of CORES)
      for (const [begin, end] of ENDS) {
        const ms = excessMs((length) => begin + core(length) + end, read);
        if (ms !== undefined) slow.push(`${begin}${core(20)}…${end}: ${Math.round(ms)} ms`);
      }
    expect(slow).toEqual([]);
  });

  it.each(['DB_URL', 'DB_HOST', 'DB_POOL_SIZE', 'DB_STATEMENT_TIMEOUT', 'DB_SSL_CA', 'DB_APPLICATION_NAME'])(
    'the variable %s',
    (name) => {
      const slow: string[] = [];
      for (const core of CORES) {
        const ms = excessMs(core, (text) => {
          try {
            readEnvironment({ [name]: text, [`DB_${text.slice(1)}`]: '1' });
          } catch {
            // Other tests check the problems of the value.
          }
        });
        if (ms !== undefined) slow.push(core(20));
      }
      expect(slow).toEqual([]);
    },
  );
});
