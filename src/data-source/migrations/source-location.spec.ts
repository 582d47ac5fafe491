import { fileURLToPath } from 'node:url';
import { describe, expect, it } from '@jest/globals';
import { DataSource } from 'typeorm';
import { sourceLocationOf, sourceLocationsOf } from './source-location.js';

class Located {}

describe('sourceLocationOf', () => {
  it('finds the file of a class in this file and in a package', () => {
    expect(sourceLocationOf(Located)?.file).toBe(fileURLToPath(import.meta.url));
    expect(sourceLocationOf(DataSource)?.file).toMatch(/typeorm\/data-source\/DataSource\.js$/);
  });

  it('finds nothing for a function of the runtime', () => {
    expect(sourceLocationOf(Map)).toBeUndefined();
  });

  it('finds those of many classes in the time of one', () => {
    const timed = (count: number) => {
      const startedAt = performance.now();
      const found = sourceLocationsOf(Array.from({ length: count }, (_, at) => (at % 2 ? Map : Located)));
      expect(found.filter((location) => location !== undefined)).toHaveLength(Math.ceil(count / 2));
      return performance.now() - startedAt;
    };
    expect(timed(200)).toBeLessThan(20 * timed(1));
  });

  it('leaves no global property behind', () => {
    sourceLocationOf(Located);
    expect(Object.getOwnPropertySymbols(globalThis).map(String)).not.toContain(
      'Symbol(nestjs-database.function-to-locate)',
    );
  });
});
