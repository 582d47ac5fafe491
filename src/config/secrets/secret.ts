import type { SecretText } from '../../database.options.js';
import { INSPECT, MASK } from '../../text/masking.js';

const BRAND = Symbol.for('nestjs-database.secret');

/** A string that only `reveal()` returns. Logs, `inspect` and JSON show `***`. */
export class Secret implements SecretText {
  readonly #text: string;

  constructor(text: string) {
    this.#text = text;
    Object.freeze(this);
  }

  /** A secret with the text of `value`. A secret of any copy of this package is returned unchanged. */
  static from(value: string | SecretText): SecretText {
    if (typeof value === 'string') return new Secret(value);
    return (value as { [BRAND]?: unknown })[BRAND] === true ? value : new Secret(value.reveal());
  }

  /** Whether `value` has a `reveal()`. Not `instanceof`: another copy of this package has another class. */
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

  [INSPECT](): string {
    return MASK;
  }
}
