import { createRequire } from 'node:module';
import { describe, expect, it, jest } from '@jest/globals';
import { missingInternals, typeOrmVersion } from '../../test/support/typeorm-contract.js';
import { defineManager, isTransactionControl } from './typeorm-internals.js';

const load = createRequire(import.meta.url);

describe('the undocumented parts of TypeORM', () => {
  it('exist in the installed version', async () => {
    expect(await missingInternals(load, typeOrmVersion(load))).toEqual([]);
  });

  it('are named with the version, when one of them is missing', async () => {
    class PostgresDriver {}
    const changed = (specifier: string): unknown => {
      return specifier.endsWith('PostgresDriver.js') ? { PostgresDriver } : load(specifier);
    };
    expect(await missingInternals(changed, '9.9.9')).toContain(
      'TypeORM 9.9.9 no longer has PostgresDriver.master',
    );
  });

  it('create the manager of a runner when it is first read, unless one is assigned', () => {
    class Runner {
      declare manager: unknown;
    }
    const create = jest.fn(() => ({}));
    defineManager(Runner as never, create as never);
    const [reading, assigned] = [new Runner(), new Runner()];
    expect(create).not.toHaveBeenCalled();
    const { manager } = reading;
    expect([reading.manager, create.mock.calls]).toEqual([manager, [[reading]]]);
    expect(reading.manager).toBe(manager);
    const given = {};
    Object.assign(assigned, { manager: given });
    expect(assigned.manager).toBe(given);
    expect(create).toHaveBeenCalledTimes(1);
  });

  it.each([
    ['START TRANSACTION', true],
    ['SET TRANSACTION ISOLATION LEVEL SERIALIZABLE', true],
    ['SAVEPOINT typeorm_1', true],
    ['RELEASE SAVEPOINT typeorm_1', true],
    ['ROLLBACK TO SAVEPOINT typeorm_1', true],
    ['COMMIT', true],
    ['SELECT 1', false],
    ['COMMIT; SELECT 1', false],
  ])('%s is a statement of TypeORM to control a transaction: %s', (text, isControl) => {
    expect(isTransactionControl(text)).toBe(isControl);
  });
});
