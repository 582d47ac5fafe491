import { PasswordError, plainCause } from '../../database.errors.js';
import type { IssuedPassword, PasswordFunction, PasswordSource } from '../../database.options.js';
import { kindOf } from '../problems/value-shape.js';

/**
 * A password that a function gives: asked for at each dial, by one call for all dials at a time, and kept until it expires.
 * Private fields alone, so that nothing that prints it shows one.
 */
export class RotatingPassword implements PasswordSource {
  readonly #give: PasswordFunction;
  readonly #timeoutMs: number;
  #kept: { readonly password: string; readonly until: number } | undefined;
  #asking: Promise<string> | undefined;
  /** The last two, which no error may show: what a function throws may quote them. */
  #issued: readonly string[] = [];

  /** @param timeoutMs longest wait for the function; after it the next dial calls it anew. Milliseconds */
  constructor(give: PasswordFunction, timeoutMs: number) {
    this.#give = give;
    this.#timeoutMs = timeoutMs;
  }

  /**
   * @throws PasswordError `PASSWORD_UNAVAILABLE` when the function throws, rejects or takes too long, `PASSWORD_INVALID`
   * when it gives what is no password
   */
  ask(): Promise<string> {
    const kept = this.#kept;
    if (kept && Date.now() < kept.until) return Promise.resolve(kept.password);
    this.#kept = undefined;
    this.#asking ??= this.#call().finally(() => {
      this.#asking = undefined;
    });
    return this.#asking;
  }

  /** Another dial may have got a new one meanwhile, which stays. */
  refused(password: string): void {
    if (this.#kept?.password === password) this.#kept = undefined;
  }

  async #call(): Promise<string> {
    let timer: NodeJS.Timeout | undefined;
    const late = new Promise<never>((_, reject) => {
      timer = setTimeout(() => reject(PasswordError.late(this.#timeoutMs)), this.#timeoutMs);
    });
    let given: unknown;
    try {
      // A function may also throw at once.
      given = await Promise.race([new Promise((resolve) => resolve(this.#give())), late]);
    } catch (error) {
      throw error instanceof PasswordError ? error : this.#failed(error);
    } finally {
      clearTimeout(timer);
    }
    const { password, until } = judged(given);
    this.#issued = [password, ...this.#issued].slice(0, 2);
    if (until !== undefined) this.#kept = { password, until };
    return password;
  }

  #failed(error: unknown): PasswordError {
    const cause = plainCause(error);
    const hide = (text: string) =>
      this.#issued.reduce((hidden, password) => hidden.replaceAll(password, '***'), text);
    cause.message = hide(cause.message);
    if (cause.stack) cause.stack = hide(cause.stack);
    return new PasswordError(`The password function failed: ${cause.message}`, { cause });
  }
}

function judged(given: unknown): { password: string; until: number | undefined } {
  const issued = typeof given === 'object' && given !== null;
  const { password, expiresAt } = issued ? (given as Partial<IssuedPassword>) : { password: given };
  if (typeof password !== 'string' || password === '')
    throw invalid(`${issued ? 'an object whose password is ' : ''}${kindOf(password)}`);
  if (expiresAt === undefined) return { password, until: undefined };
  const until = expiresAt instanceof Date ? expiresAt.getTime() : expiresAt;
  if (typeof until !== 'number' || Number.isNaN(until))
    throw invalid('an expiresAt that is neither a Date nor milliseconds since 1970');
  return { password, until };
}

function invalid(what: string): PasswordError {
  return new PasswordError(`The password function gave ${what}.`, {
    code: 'PASSWORD_INVALID',
    hint: 'It returns a text, or { password, expiresAt }, or a promise of one.',
  });
}
