import { describe, expect, it } from '@jest/globals';
import { readEnvironment } from '../../src/config/environment/environment.js';
import { isLocalHost, isThisMachine } from '../../src/config/url/local-host.js';
import { parseRequireAuth } from '../../src/config/url/require-auth.js';
import { nearMiss } from '../../src/config/problems/near-miss.js';
import { neonHost } from '../../src/config/url/neon-host.js';
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
import { StatementTexts } from '../../src/connection/statements/statement-texts.js';
import { statementText } from '../../src/data-source/logging/database.logger.js';
import { plainCause } from '../../src/errors/plain-cause.js';
import { redact, shortSql } from '../../src/text/masking.js';
import { diagnose } from '../../src/diagnosis/diagnose.js';

const LENGTH = 100_000;
/** A linear function needs a few milliseconds for such a text, a quadratic one seconds. */
const BOUND_MS = 50;

/** The CPU time of this process in milliseconds, without that of other processes on the machine. */
function cpuMs(): number {
  const { user, system } = process.cpuUsage();
  return (user + system) / 1_000;
}

/** The CPU time of the fastest of three runs, in milliseconds, or undefined when it is at most `boundMs`. */
function excessiveMs(boundMs: number, work: () => unknown): number | undefined {
  let best = Infinity;
  for (let run = 0; run < 3 && best > boundMs; run += 1) {
    const began = cpuMs();
    work();
    best = Math.min(best, cpuMs() - began);
  }
  return best > boundMs ? best : undefined;
}

const repeated = (piece: string) => piece.repeat(Math.ceil(LENGTH / piece.length)).slice(0, LENGTH);
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
/** Different letters, for a function that compares each with all others. */
const ALPHABET = Array.from({ length: LENGTH }, (_, at) => String.fromCharCode(0x4e00 + (at % 20_000))).join(
  '',
);
const CORES = [...PIECES.map(repeated), ALPHABET];

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

const FUNCTIONS: Record<string, (text: string) => unknown> = {
  'the text of a statement': textChangesSession,
  'the text of a statement with the tag SET': (text) => tagChangesSession('SET', text),
  'the text of a statement with the tag DECLARE CURSOR': (text) => tagChangesSession('DECLARE CURSOR', text),
  'a statement that may set statement_timeout': mentionsStatementTimeout,
  'a statement that may be prepared': (text) => {
    const facts = new StatementTexts().factsOf(text);
    return [facts.isPreparable, facts.isComplete, facts.name];
  },
  'a statement with a trailing comment': (text) => new StatementTexts().factsOf(`${text}*/`),
  'a statement that may be sent again': isSingleRepeatableStatement,
  'a statement in an error message': (text) => shortSql(text, LENGTH),
  'a statement in the log': (text) =>
    statementText(text, undefined, { maxLength: LENGTH, parameters: false }),
  'a text that may contain URLs': redact,
  'the message of an error': (text) => diagnose(new Error(text)),
  'the message of an error with the code of a pooler': (text) =>
    diagnose(Object.assign(new Error(text), { code: '08P01' })),
  'the message of an error with the code of Neon': (text) =>
    diagnose(Object.assign(new Error(text), { code: 'XX000' })),
  'the message of a refused login': (text) => diagnose(Object.assign(new Error(text), { code: '28000' })),
  'an error of another library': (text) => plainCause({ message: text, stack: text }),
  'an error that may end a connection': (text) => isDisconnect(new Error(text)),
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
  'a list of login methods': (text) => parseRequireAuth(text, []),
  'PEM text': (text) => readPem(`-----BEGIN ${text}`, 'key'),
  'the name of an option': (text) => nearMiss(text, ['size', 'maxOverflow']),
  'a value whose shape is described': shapeOf,
};

describe('The time for a text of 100 000 characters is linear in its length:', () => {
  it.each(Object.entries(FUNCTIONS))('%s', (_, work) => {
    const slow: string[] = [];
    for (const core of CORES)
      for (const [begin, end] of ENDS) {
        const text = begin + core + end;
        const ms = excessiveMs(BOUND_MS, () => work(text));
        if (ms !== undefined) slow.push(`${begin}${core.slice(0, 20)}…${end}: ${Math.round(ms)} ms`);
      }
    expect(slow).toEqual([]);
  });

  it.each(['DB_URL', 'DB_HOST', 'DB_POOL_SIZE', 'DB_STATEMENT_TIMEOUT', 'DB_SSL_CA', 'DB_APPLICATION_NAME'])(
    'the variable %s',
    (name) => {
      const slow: string[] = [];
      for (const core of CORES) {
        // The misspelled name is compared with all known ones.
        const ms = excessiveMs(3 * BOUND_MS, () => {
          try {
            readEnvironment({ [name]: core, [`DB_${core.slice(1)}`]: '1' });
          } catch {
            // Other tests check the error.
          }
        });
        if (ms !== undefined) slow.push(core.slice(0, 20));
      }
      expect(slow).toEqual([]);
    },
  );
});
