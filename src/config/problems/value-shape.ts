/** Short and plain: matches a number, a mode or a name, but no URL and no key. */
const HARMLESS = /^[\w.+ -]{1,24}$/;

/** A value as messages show it. A string is quoted only when it is too short and plain to be a pasted secret. */
export function shapeOf(value: unknown): string {
  if (typeof value === 'string' && value !== '')
    return HARMLESS.test(value) ? `"${value}"` : `a string of ${value.length} characters`;
  return typeof value === 'number' || typeof value === 'boolean' ? String(value) : kindOf(value);
}

/** The kind of a value that may be a secret, for messages that must not show it. */
export function kindOf(value: unknown): string {
  if (value === null || value === undefined) return String(value);
  if (Array.isArray(value)) return 'a list';
  if (typeof value === 'string') return value === '' ? 'an empty string' : 'a string';
  return typeof value === 'object' ? 'an object' : `a ${typeof value}`;
}

/** Groups digits by three: `30 000`. */
export function spaced(value: number): string {
  return String(value).replace(/\B(?=(\d{3})+$)/g, ' ');
}
