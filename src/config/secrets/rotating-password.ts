import { PasswordError } from '../../errors/connection.errors.js';
import { plainCause } from '../../errors/plain-cause.js';
import type { IssuedPassword, PasswordFunction, PasswordSource } from '../../database.options.js';
import { MASK } from '../../text/masking.js';
import { kindOf } from '../problems/value-shape.js';

/**
 * Calls a password function and keeps the password until it expires. Connections that are opened at the same time share one
 * call. All fields are private, so that no output shows a password.
 */
export class RotatingPassword implements PasswordSource {
  readonly #passwordFunction: PasswordFunction;
  readonly #timeoutMs: number;
  #kept: { readonly password: string; readonly until: number } | undefined;
  #pending: Promise<string> | undefined;
  /** The last two passwords. They are masked in errors of the function, which may quote them. */
  #issued: readonly string[] = [];

  /** @param timeoutMs longest wait for the function, in milliseconds. After a timeout, the next connect calls it again. */
  constructor(passwordFunction: PasswordFunction, timeoutMs: number) {
    this.#passwordFunction = passwordFunction;
    this.#timeoutMs = timeoutMs;
  }

  /**
   * Returns the password that is valid now.
   * @throws PasswordError `PASSWORD_UNAVAILABLE` when the function throws, rejects or takes too long, `PASSWORD_INVALID`
   * when it returns no password
   */
  ask(): Promise<string> {
    const kept = this.#kept;
    if (kept && Date.now() < kept.until) return Promise.resolve(kept.password);
    this.#kept = undefined;
    this.#pending ??= this.#call().finally(() => {
      this.#pending = undefined;
    });
    return this.#pending;
  }

  /** Forgets a password that the server refused. A newer one, which another connect has fetched meanwhile, is kept. */
  refused(password: string): void {
    if (this.#kept?.password === password) this.#kept = undefined;
  }

  async #call(): Promise<string> {
    let timer: NodeJS.Timeout | undefined;
    const timeout = new Promise<never>((_, reject) => {
      timer = setTimeout(() => reject(PasswordError.timeout(this.#timeoutMs)), this.#timeoutMs);
    });
    let returned: unknown;
    try {
      // The function may throw instead of returning a rejected promise.
      returned = await Promise.race([new Promise((resolve) => resolve(this.#passwordFunction())), timeout]);
    } catch (error) {
      throw error instanceof PasswordError ? error : this.#failed(error);
    } finally {
      clearTimeout(timer);
    }
    const { password, until } = issuedPassword(returned);
    this.#issued = [password, ...this.#issued].slice(0, 2);
    if (until !== undefined) this.#kept = { password, until };
    return password;
  }

  #failed(error: unknown): PasswordError {
    const cause = plainCause(error);
    const hide = (text: string) =>
      this.#issued.reduce((hidden, password) => hidden.replaceAll(password, MASK), text);
    cause.message = hide(cause.message);
    if (cause.stack) cause.stack = hide(cause.stack);
    return new PasswordError(`The password function failed: ${cause.message}`, { cause });
  }
}

function issuedPassword(returned: unknown): { password: string; until: number | undefined } {
  const isObject = typeof returned === 'object' && returned !== null;
  const { password, expiresAt } = isObject ? (returned as Partial<IssuedPassword>) : { password: returned };
  if (typeof password !== 'string' || password === '')
    throw invalid(`${isObject ? 'an object whose password is ' : ''}${kindOf(password)}`);
  if (expiresAt === undefined) return { password, until: undefined };
  const until = expiresAt instanceof Date ? expiresAt.getTime() : expiresAt;
  if (typeof until !== 'number' || Number.isNaN(until))
    throw invalid('an expiresAt that is neither a Date nor milliseconds since 1970');
  return { password, until };
}

function invalid(what: string): PasswordError {
  return new PasswordError(`The password function returned ${what}.`, {
    code: 'PASSWORD_INVALID',
    hint: 'It must return a string, or { password, expiresAt }, or a promise of one of them.',
  });
}
