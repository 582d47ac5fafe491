import type { SettingOrigin } from '../../database.options.js';
import { Secret } from '../secrets/secret.js';

/** Registered, so that it is the same one in both builds; on an enumerable property it survives `{ ...config }`. */
export const ORIGINS = Symbol.for('nestjs-database.origins');

/** What the environment gave, beside the settings themselves. */
export interface EnvironmentOrigins {
  /** By the setting's path: the variable and the value that it gave. */
  readonly values: Readonly<Record<string, { readonly variable: string; readonly value: unknown }>>;
  readonly warnings: readonly string[];
}

export function originsIn(options: object): EnvironmentOrigins | undefined {
  return (options as { [ORIGINS]?: EnvironmentOrigins })[ORIGINS];
}

const same = (a: unknown, b: unknown) =>
  a === b || (Secret.is(a) && Secret.is(b) && a.reveal() === b.reveal());

/** Keeps where each value came from while the settings are put together. */
export class Origins {
  readonly #environment: EnvironmentOrigins | undefined;
  readonly chosen: Record<string, SettingOrigin> = {};

  constructor(environment: EnvironmentOrigins | undefined) {
    this.#environment = environment;
  }

  /** The variable that gave `value`; undefined once the code has put another value in its place. */
  variable(path: string, value: unknown): string | undefined {
    const given = this.#environment?.values[path];
    return given && same(given.value, value) ? given.variable : undefined;
  }

  /** What a message calls the setting: the variable where it came from there, else the option's path. */
  nameOf(path: string, value: unknown): string {
    return this.variable(path, value) ?? path;
  }

  /** The first value that is there; those of the options count as the environment's where they still are. */
  choose<T>(path: string, layers: readonly (readonly [SettingOrigin, T | undefined])[]): T | undefined {
    for (const [origin, value] of layers) {
      if (value === undefined) continue;
      const variable = origin === 'options' ? this.variable(path, value) : undefined;
      this.chosen[path] = variable === undefined ? origin : `environment ${variable}`;
      return value;
    }
    return undefined;
  }
}
