import { describe, expect, it } from '@jest/globals';
import { startupOptions } from './session-settings.js';

describe('startupOptions', () => {
  it('writes settings as options of the server, with spaces and backslashes escaped', () => {
    expect(
      startupOptions({ search_path: 'app, public', 'app.path': 'C:\\x', jit: false, work_mem: 4_096 }),
    ).toBe('-c search_path=app,\\ public -c app.path=C:\\\\x -c jit=off -c work_mem=4096');
    expect(startupOptions({ synchronous_commit: true })).toBe('-c synchronous_commit=on');
    expect(startupOptions({})).toBe('');
  });

  it.each(['a b', '-c', "x'; DROP", '', 'a.', '1a'])(
    'refuses %j, which is not the name of a setting',
    (name) => {
      expect(() => startupOptions({ [name]: 1 })).toThrow('Not the name of a PostgreSQL setting');
    },
  );

  it('refuses a NUL character, which would end the parameter', () => {
    expect(() => startupOptions({ 'a.b': 'x\0y' })).toThrow('NUL');
  });
});
