import type { SettingOrigin } from '../../database.options.js';
import { Secret } from '../secrets/secret.js';

/**
 * Key of the origins in the settings of `databaseConfig`. The symbol is registered, so that the ESM and the CommonJS build
 * share it. The property is enumerable, so that `{ ...config }` copies it.
 */
export const ORIGINS = Symbol.for('nestjs-database.origins');

/** Where the settings of the environment come from, and the warnings about them. */
export interface EnvironmentOrigins {
  /** By the path of the setting: the variable and its value. */
  readonly values: Readonly<Record<string, { readonly variable: string; readonly value: unknown }>>;
  readonly warnings: readonly string[];
}

/** The origins in options that contain `databaseConfig`; undefined for other options. */
export function originsIn(options: object): EnvironmentOrigins | undefined {
  return (options as { [ORIGINS]?: EnvironmentOrigins })[ORIGINS];
}

/** A source of a setting, with its value there. */
export type Layer<T> = readonly [SettingOrigin, T | undefined];

/** Records the origin of each value while the settings are resolved. */
export class Origins {
  readonly #environment: EnvironmentOrigins | undefined;
  readonly chosen: Record<string, SettingOrigin> = {};

  constructor(environment: EnvironmentOrigins | undefined) {
    this.#environment = environment;
  }

  /** The variable that `value` comes from; undefined when the code has replaced the value. */
  variableOf(path: string, value: unknown): string | undefined {
    const given = this.#environment?.values[path];
    return given && isSame(given.value, value) ? given.variable : undefined;
  }

  /** The name of the setting in messages: the variable that `value` comes from, else the path of the option. */
  nameOf(path: string, value: unknown): string {
    return this.variableOf(path, value) ?? path;
  }

  /**
   * Returns the value of the first layer that has one, and records its origin. An option that equals the value of the
   * environment has the environment as its origin.
   */
  choose<T>(path: string, layers: readonly Layer<T>[]): T | undefined {
    for (const [origin, value] of layers) {
      if (value === undefined) continue;
      const variable = origin === 'options' ? this.variableOf(path, value) : undefined;
      this.chosen[path] = variable === undefined ? origin : `environment ${variable}`;
      return value;
    }
    return undefined;
  }
}

const isSame = (a: unknown, b: unknown) =>
  a === b || (Secret.is(a) && Secret.is(b) && a.reveal() === b.reveal());
