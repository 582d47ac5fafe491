import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { SETTING_ROWS } from '../../src/config/settings/settings.js';
import { VARIABLES } from '../../src/config/settings/variables.js';
import { CONNECTION_RULES } from '../../src/diagnosis/connection-rules.js';
import { STATEMENT_RULES } from '../../src/diagnosis/statement-rules.js';
import { createTestDatabase } from '../support/database.js';
import type { TestDatabase } from '../support/database.js';

/** Names with an underscore that are neither a setting of PostgreSQL nor a variable of this package. */
const OTHERS: readonly string[] = [
  // Parameters of the URL.
  'channel_binding',
  'require_auth',
  'target_session_attrs',
];

describe('The hints of the rules', () => {
  let database: TestDatabase;
  const hints = [...CONNECTION_RULES, ...STATEMENT_RULES].map(({ hint }) => hint);
  const named = (pattern: RegExp) => [...new Set(hints.flatMap((hint) => hint.match(pattern) ?? []))];

  beforeAll(async () => {
    database = await createTestDatabase();
  });
  afterAll(() => database.drop());

  it('name variables that exist', () => {
    const variables = named(/\bDB_[A-Z_]+/g);
    expect(variables).toContain('DB_URL');
    const known = VARIABLES.map(({ name }) => name);
    expect(variables.filter((name) => !known.includes(name))).toEqual([]);
  });

  it('name options that exist', () => {
    const options = named(/\b(?:[a-z]+\.[a-z][A-Za-z]+|[a-z]+[A-Z][A-Za-z]+)\b/g).filter(
      // A file, and a property of the result of a password function.
      (name) => !['pg_hba.conf', 'hba.conf', 'expiresAt'].includes(name),
    );
    expect(options).toContain('pool.keepaliveMs');
    const known: string[] = SETTING_ROWS.map(({ path }) => path);
    // Options of `tls.connect` of Node, which are passed on.
    known.push('ssl.crl');
    expect(options.filter((name) => !known.includes(name))).toEqual([]);
  });

  it('name settings, views and functions that PostgreSQL has', async () => {
    const names = named(/\b[a-z]+(?:_[a-z]+)+\b/g).filter((name) => !OTHERS.includes(name));
    expect(names).toContain('idle_session_timeout');
    const known = await database.sql<{ name: string }>(
      `SELECT name FROM pg_settings UNION SELECT relname FROM pg_class UNION SELECT proname FROM pg_proc
       UNION SELECT 'pg_hba'`,
    );
    expect(names.filter((name) => !known.some((one) => one.name === name))).toEqual([]);
  });
});
