import { afterEach, beforeEach, describe, expect, it, jest } from '@jest/globals';
import { emitProcessWarning } from './pool-warning.js';

const lease = { borrower: 'job', heldMs: 5, inTransaction: false, lastSql: undefined, stack: undefined };

describe('emitProcessWarning()', () => {
  let emitted: jest.SpiedFunction<typeof process.emitWarning>;
  beforeEach(() => {
    emitted = jest.spyOn(process, 'emitWarning').mockImplementation(() => undefined);
  });
  afterEach(() => emitted.mockRestore());

  it('emits a warning of the process with its code, and with the call stack of the acquire where it is known', () => {
    emitProcessWarning({ code: 'CONNECTION_LEAK', level: 'warn', message: 'out for long', lease });
    emitProcessWarning({
      code: 'CONNECTION_LEAK',
      level: 'warn',
      message: 'out for long',
      lease: { ...lease, stack: '    at job (app.js:1:1)' },
    });
    emitProcessWarning({ code: 'SELF_DEADLOCK', level: 'warn', message: 'deadlock' });
    expect(emitted.mock.calls).toEqual([
      ['out for long', { type: 'PoolWarning', code: 'CONNECTION_LEAK' }],
      ['out for long', { type: 'PoolWarning', code: 'CONNECTION_LEAK', detail: '    at job (app.js:1:1)' }],
      ['deadlock', { type: 'PoolWarning', code: 'SELF_DEADLOCK' }],
    ]);
  });

  it('emits nothing for level info', () => {
    emitProcessWarning({ code: 'OUTAGE', level: 'info', message: 'lost' });
    expect(emitted).not.toHaveBeenCalled();
  });
});
