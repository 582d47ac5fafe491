import type { SecretText } from '../../database.options.js';

const MASK = '***';
const BRAND = Symbol.for('nestjs-database.secret');

/** A text that only `reveal()` returns: log, `inspect` and JSON show a mask. */
export class Secret implements SecretText {
  readonly #text: string;

  constructor(text: string) {
    this.#text = text;
    Object.freeze(this);
  }

  /** A secret with the text of `value`. A secret of this package stays the same, even from another copy of the package. */
  static from(value: string | SecretText): SecretText {
    if (typeof value === 'string') return new Secret(value);
    return (value as { [BRAND]?: unknown })[BRAND] === true ? value : new Secret(value.reveal());
  }

  /** Whether `value` has a `reveal()`; another copy of the package has another class, so this does not test the class. */
  static is(value: unknown): value is SecretText {
    return typeof value === 'object' && value !== null && typeof (value as SecretText).reveal === 'function';
  }

  get [BRAND](): true {
    return true;
  }

  reveal(): string {
    return this.#text;
  }

  toString(): string {
    return MASK;
  }

  toJSON(): string {
    return MASK;
  }

  [Symbol.toPrimitive](): string {
    return MASK;
  }

  [Symbol.for('nodejs.util.inspect.custom')](): string {
    return MASK;
  }
}
