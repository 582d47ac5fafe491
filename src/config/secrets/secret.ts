import type { SecretText } from '../../database.options.js';

const MASK = '***';
const BRAND = Symbol.for('nestjs-database.secret');

/** A text that shows itself only to who asks by `reveal()`: every way of printing it gives a mask. */
export class Secret implements SecretText {
  readonly #text: string;

  constructor(text: string) {
    this.#text = text;
    Object.freeze(this);
  }

  /** A secret with the text of `value`; one of ours stays as it is, also one that another copy of the package made. */
  static from(value: string | SecretText): SecretText {
    if (typeof value === 'string') return new Secret(value);
    return (value as { [BRAND]?: unknown })[BRAND] === true ? value : new Secret(value.reveal());
  }

  /** Whether `value` can be asked for a text; by shape, since the class of another copy is not ours. */
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
