/** Settings of PostgreSQL by name: `{ search_path: 'app, public' }`. */
export type SessionSettings = Readonly<Record<string, string | number | boolean>>;

/**
 * Settings as the `options` of the startup packet: in force before the first query, without a round trip, and what
 * RESET and DISCARD ALL go back to. The server splits the text at white space; a backslash escapes the next character.
 */
export function startupOptions(settings: SessionSettings): string {
  return Object.entries(settings)
    .map(([name, value]) => {
      if (!/^[a-z_][\w$]*(\.[a-z_][\w$]*)*$/i.test(name))
        throw new TypeError(`Not the name of a PostgreSQL setting: ${JSON.stringify(name)}`);
      const text = typeof value === 'boolean' ? (value ? 'on' : 'off') : String(value);
      if (text.includes('\0')) throw new TypeError(`The setting ${name} holds a NUL character.`);
      return `-c ${name}=${text.replace(/[\\\s]/g, '\\$&')}`;
    })
    .join(' ');
}
