import { inspect } from 'node:util';
import { describe, expect, it } from '@jest/globals';
import { PasswordError } from '../../errors/connection.errors.js';
import type { PasswordFunction } from '../../database.options.js';
import { RotatingPassword } from './rotating-password.js';

const HOUR = 3_600_000;

/** Counts, and gives what it is told to give. */
function giver(...given: (() => ReturnType<PasswordFunction>)[]) {
  let calls = 0;
  const give = () => given[Math.min(calls++, given.length - 1)]!();
  return { password: new RotatingPassword(give, 1_000), calls: () => calls };
}

describe('a password that a function gives', () => {
  it('is asked for each time when it says nothing of its end', async () => {
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
  ])('is kept until its end, given as %s', async (_how, end) => {
    const { password, calls } = giver(
      () => ({ password: 'one', expiresAt: end() }),
      () => 'two',
    );
    expect([await password.ask(), await password.ask()]).toEqual(['one', 'one']);
    expect(calls()).toBe(1);
  });

  it('is used once when its end is over already', async () => {
    const { password, calls } = giver(
      () => ({ password: 'one', expiresAt: Date.now() - 1 }),
      () => 'two',
    );
    expect([await password.ask(), await password.ask()]).toEqual(['one', 'two']);
    expect(calls()).toBe(2);
  });

  it('is asked for once by all who ask at one time', async () => {
    const { password, calls } = giver(async () => 'one');
    expect(await Promise.all([password.ask(), password.ask(), password.ask()])).toEqual([
      'one',
      'one',
      'one',
    ]);
    expect(calls()).toBe(1);
  });

  it('is asked for again when the server refused it, and not when it refused an older one', async () => {
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
    'that %s is an error with the reason and nothing else of it, and the next one asks anew',
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

  it('that does not come in time is an error, and the next one asks anew', async () => {
    let calls = 0;
    const never = new Promise<string>(() => undefined);
    const password = new RotatingPassword(() => (++calls === 1 ? never : 'two'), 20);
    const both = await Promise.allSettled([password.ask(), password.ask()]);
    for (const outcome of both)
      expect(outcome).toMatchObject({
        status: 'rejected',
        reason: {
          code: 'PASSWORD_UNAVAILABLE',
          message: 'The password function did not answer within 20 ms.',
        },
      });
    expect(await password.ask()).toBe('two');
  });

  it.each([
    [undefined, /gave undefined\./],
    ['', /gave an empty text\./],
    [12345, /gave a number\./],
    [{ token: 'hunter2' }, /gave an object whose password is undefined\./],
    [{ password: '' }, /gave an object whose password is an empty text\./],
    [{ password: 'hunter2', expiresAt: '2030-01-01' }, /gave an expiresAt that is neither/],
    [{ password: 'hunter2', expiresAt: new Date('never') }, /gave an expiresAt that is neither/],
  ])('that is %p is an error that shows nothing of it', async (given, message) => {
    const { password } = giver(() => given as never);
    const error: unknown = await password.ask().catch((reason: unknown) => reason);
    expect(error).toMatchObject({ code: 'PASSWORD_INVALID', message: expect.stringMatching(message) });
    expect(inspect(error, { depth: 9 })).not.toMatch(/hunter2|12345/);
  });

  it.each([undefined, null, 'sealed'])(
    'that fails by %p instead of an error is unavailable all the same',
    async (reason) => {
      // eslint-disable-next-line @typescript-eslint/prefer-promise-reject-errors -- what is tested
      const { password } = giver(() => Promise.reject(reason));
      await expect(password.ask()).rejects.toMatchObject({
        code: 'PASSWORD_UNAVAILABLE',
        message: `The password function failed: ${reason}`,
      });
    },
  );

  it('shows in nothing that prints it, nor in what its function throws later', async () => {
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
