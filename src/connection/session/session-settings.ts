/**
 * Settings of PostgreSQL (GUCs) by name. Booleans become `on` and `off`; a number has the setting's own unit.
 * @example { search_path: 'app, public', jit: false, work_mem: '64MB' }
 */
export type SessionSettings = Readonly<Record<string, string | number | boolean>>;

/**
 * The settings as `options` of the startup packet. They are in force before the first query, without a round trip. RESET and
 * DISCARD ALL return to them. The server splits `options` at white space, and a backslash escapes a character.
 * @throws TypeError for an invalid name, and for a value with a NUL character, which would end the parameter
 */
export function startupOptions(settings: SessionSettings): string {
  return Object.entries(settings)
    .map(([name, value]) => {
      if (!/^[a-z_][\w$]*(\.[a-z_][\w$]*)*$/i.test(name))
        throw new TypeError(`Not the name of a PostgreSQL setting: ${JSON.stringify(name)}`);
      const text = typeof value === 'boolean' ? (value ? 'on' : 'off') : String(value);
      if (text.includes('\0')) throw new TypeError(`The setting ${name} contains a NUL character.`);
      return `-c ${name}=${text.replace(/[\\\s]/g, '\\$&')}`;
    })
    .join(' ');
}
