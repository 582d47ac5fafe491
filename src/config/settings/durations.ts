const UNITS: Readonly<Record<string, number>> = { ms: 1, s: 1_000, m: 60_000, min: 60_000, h: 3_600_000 };

/** The milliseconds in `30`, `30s`, `500ms`, `5m` or `1h`. A number without a unit is seconds. Undefined for any other text. */
export function durationIn(text: string): number | undefined {
  const parts = /^(\d{1,12}(?:\.\d{1,6})?)\s*(ms|s|m|min|h)?$/i.exec(text);
  if (!parts) return undefined;
  const value = Number(parts[1]) * UNITS[(parts[2] ?? 's').toLowerCase()]!;
  const rounded = Math.round(value);
  // 0.0001s must not become 0, which would mean off.
  return value > 0 && rounded === 0 ? undefined : rounded;
}

/** The shortest text that `durationIn` reads as these milliseconds: `30s`, `5m`, `500ms`. */
export function durationText(ms: number): string {
  if (ms > 60_000 && ms % 60_000 === 0) return `${ms / 60_000}m`;
  return ms % 1_000 === 0 ? `${ms / 1_000}s` : `${ms}ms`;
}
