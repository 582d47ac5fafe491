import { describe, expect, it } from '@jest/globals';
import type { LoadedMigration } from '../../data-source/migrations/loaded-migration.js';
import { selectMigrations } from './selected-migrations.js';

const migration = (name: string): LoadedMigration => ({
  name,
  timestamp: Number(name.slice(-13)),
  instance: { up: () => Promise.resolve(), down: () => Promise.resolve() },
});
const migrations = ['First1700000000001', 'Second1700000000002', 'Third1700000000003'].map(migration);

describe('selectMigrations', () => {
  const select = (range: Parameters<typeof selectMigrations>[1]) => {
    const { before, selected } = selectMigrations(migrations, range);
    return [before, selected].map((list) => list.map(({ name }) => name.slice(0, -13)).join(' '));
  };

  it.each([
    [{}, ['', 'First Second Third']],
    [{ from: 'First' }, ['First', 'Second Third']],
    [{ to: 'Second1700000000002' }, ['', 'First Second']],
    [{ from: '1700000000001', to: 'Second' }, ['First', 'Second']],
    [{ from: 'Third' }, ['First Second Third', '']],
    [{ down: true }, ['First Second Third', 'Third']],
    [{ down: true, from: 'Second' }, ['First Second', 'Second']],
    [{ down: true, from: 'First' }, ['First', 'First']],
    [{ down: true, to: 'First' }, ['First Second Third', 'Third Second']],
    [{ down: true, from: 'Second', to: 'Second' }, ['First Second', '']],
  ])('%j', (range, expected) => {
    expect(select(range)).toEqual(expected);
  });

  it.each([
    [{ from: 'Secnod' }, 'No migration is named "Secnod". Is "Second" meant?'],
    [{ to: 'Nothing' }, 'No migration is named "Nothing".'],
    [{ from: 'Second', to: 'First' }, '"First" is older than "Second".'],
    [{ down: true, from: 'First', to: 'Second' }, '"Second" is newer than "First".'],
  ])('refuses %j', (range, message) => {
    expect(() => select(range)).toThrow(expect.objectContaining({ code: 'MIGRATION_UNKNOWN', message }));
  });

  it('refuses a name without timestamp that several migrations have', () => {
    const twice = [...migrations, migration('First1700000000004')];
    expect(() => selectMigrations(twice, { to: 'First' })).toThrow(
      '"First" may be one of several migrations: First1700000000001, First1700000000004.',
    );
  });
});
