import type { SettingOrigin } from '../../database.options.js';
import { Secret } from '../secrets/secret.js';

/** Registered, so that the ESM and the CommonJS build share it. `{ ...config }` copies it, since it is enumerable. */
export const ORIGINS = Symbol.for('nestjs-database.origins');

/** What the environment gave, beside the settings themselves. */
export interface EnvironmentOrigins {
  /** By the path of the setting: the variable and its value. */
  readonly values: Readonly<Record<string, { readonly variable: string; readonly value: unknown }>>;
  readonly warnings: readonly string[];
}

export function originsIn(options: object): EnvironmentOrigins | undefined {
  return (options as { [ORIGINS]?: EnvironmentOrigins })[ORIGINS];
}

/** Where a setting may come from, with the value that is there. */
export type Layer<T> = readonly [SettingOrigin, T | undefined];

/** Records the origin of each value while the settings are resolved. */
export class Origins {
  readonly #environment: EnvironmentOrigins | undefined;
  readonly chosen: Record<string, SettingOrigin> = {};

  constructor(environment: EnvironmentOrigins | undefined) {
    this.#environment = environment;
  }

  /** The variable that gave `value`; undefined when the code has replaced that value. */
  variableOf(path: string, value: unknown): string | undefined {
    const given = this.#environment?.values[path];
    return given && isSame(given.value, value) ? given.variable : undefined;
  }

  /** The name of the setting in messages: the variable that gave `value`, else the path of the option. */
  nameOf(path: string, value: unknown): string {
    return this.variableOf(path, value) ?? path;
  }

  /** The value of the first layer that has one. A value of the options counts as the environment's if it is the same. */
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
