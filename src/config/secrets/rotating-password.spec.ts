import { inspect } from 'node:util';
import { describe, expect, it } from '@jest/globals';
import { PasswordError } from '../../errors/connection.errors.js';
import type { PasswordFunction } from '../../database.options.js';
import { RotatingPassword } from './rotating-password.js';

const HOUR = 3_600_000;

/** A password function that counts its calls and returns the given values in turn. */
function giver(...given: (() => ReturnType<PasswordFunction>)[]) {
  let calls = 0;
  const give = () => given[Math.min(calls++, given.length - 1)]!();
  return { password: new RotatingPassword(give, 1_000), calls: () => calls };
}

describe('RotatingPassword', () => {
  it('calls the function for each connect when the password has no expiresAt', async () => {
    const { password, calls } = giver(
      () => 'one',
      () => Promise.resolve('two'),
      () => ({ password: 'three' }),
    );
    expect([await password.ask(), await password.ask(), await password.ask()]).toEqual([
      'one',
      'two',
      'three',
    ]);
    expect(calls()).toBe(3);
  });

  it.each([
    ['a date', () => new Date(Date.now() + HOUR)],
    ['milliseconds', () => Date.now() + HOUR],
  ])('keeps the password until expiresAt, which is %s', async (_how, end) => {
    const { password, calls } = giver(
      () => ({ password: 'one', expiresAt: end() }),
      () => 'two',
    );
    expect([await password.ask(), await password.ask()]).toEqual(['one', 'one']);
    expect(calls()).toBe(1);
  });

  it('uses a password once when its expiresAt is past', async () => {
    const { password, calls } = giver(
      () => ({ password: 'one', expiresAt: Date.now() - 1 }),
      () => 'two',
    );
    expect([await password.ask(), await password.ask()]).toEqual(['one', 'two']);
    expect(calls()).toBe(2);
  });

  it('shares one call among simultaneous connects', async () => {
    const { password, calls } = giver(async () => 'one');
    expect(await Promise.all([password.ask(), password.ask(), password.ask()])).toEqual([
      'one',
      'one',
      'one',
    ]);
    expect(calls()).toBe(1);
  });

  it('calls the function again after the server refused the password, but not after it refused an older one', async () => {
    const expiresAt = Date.now() + HOUR;
    const { password, calls } = giver(
      () => ({ password: 'one', expiresAt }),
      () => ({ password: 'two', expiresAt }),
    );
    await password.ask();
    password.refused('one');
    expect(await password.ask()).toBe('two');
    password.refused('one');
    expect(await password.ask()).toBe('two');
    expect(calls()).toBe(2);
  });

  it.each<[string, () => never | Promise<never>]>([
    [
      'throws',
      () => {
        throw new Error('the vault is sealed');
      },
    ],
    ['rejects', () => Promise.reject(Object.assign(new Error('the vault is sealed'), { token: 'hunter2' }))],
  ])(
    'fails with the reason when the function %s, and the next connect calls it again',
    async (_how, fail) => {
      const { password } = giver(fail, () => 'two');
      const error: unknown = await password.ask().catch((reason: unknown) => reason);
      expect(error).toBeInstanceOf(PasswordError);
      expect(error).toMatchObject({
        code: 'PASSWORD_UNAVAILABLE',
        message: 'The password function failed: the vault is sealed',
        cause: { message: 'the vault is sealed' },
      });
      expect(inspect(error, { depth: 9 })).not.toContain('hunter2');
      expect(await password.ask()).toBe('two');
    },
  );

  it('fails when the function takes too long, and the next connect calls it again', async () => {
    let calls = 0;
    const never = new Promise<string>(() => undefined);
    const password = new RotatingPassword(() => (++calls === 1 ? never : 'two'), 20);
    const both = await Promise.allSettled([password.ask(), password.ask()]);
    for (const outcome of both)
      expect(outcome).toMatchObject({
        status: 'rejected',
        reason: {
          code: 'PASSWORD_UNAVAILABLE',
          message: 'The password function did not return within 20 ms.',
        },
      });
    expect(await password.ask()).toBe('two');
  });

  it.each([
    [undefined, /returned undefined\./],
    ['', /returned an empty string\./],
    [12345, /returned a number\./],
    [{ token: 'hunter2' }, /returned an object whose password is undefined\./],
    [{ password: '' }, /returned an object whose password is an empty string\./],
    [{ password: 'hunter2', expiresAt: '2030-01-01' }, /returned an expiresAt that is neither/],
    [{ password: 'hunter2', expiresAt: new Date('never') }, /returned an expiresAt that is neither/],
  ])('fails when the function returns %p, without showing it', async (given, message) => {
    const { password } = giver(() => given as never);
    const error: unknown = await password.ask().catch((reason: unknown) => reason);
    expect(error).toMatchObject({ code: 'PASSWORD_INVALID', message: expect.stringMatching(message) });
    expect(inspect(error, { depth: 9 })).not.toMatch(/hunter2|12345/);
  });

  it.each([undefined, null, 'sealed'])(
    'fails when the function throws %p instead of an error',
    async (reason) => {
      // eslint-disable-next-line @typescript-eslint/prefer-promise-reject-errors -- what is tested
      const { password } = giver(() => Promise.reject(reason));
      await expect(password.ask()).rejects.toMatchObject({
        code: 'PASSWORD_UNAVAILABLE',
        message: `The password function failed: ${reason}`,
      });
    },
  );

  it('hides the password from every output, and from later errors of the function', async () => {
    const { password } = giver(
      () => ({ password: 'hunter2', expiresAt: Date.now() + HOUR }),
      () => {
        throw new Error('hunter2 is not valid any more');
      },
    );
    await password.ask();
    expect(inspect(password, { depth: 9, showHidden: true }) + JSON.stringify(password)).not.toContain(
      'hunter2',
    );
    password.refused('hunter2');
    const error: unknown = await password.ask().catch((reason: unknown) => reason);
    expect(inspect(error, { depth: 9 })).not.toContain('hunter2');
    expect(error).toMatchObject({ message: 'The password function failed: *** is not valid any more' });
  });
});
