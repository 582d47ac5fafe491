import { describe, expect, it } from '@jest/globals';
import { languageOf, migrationText } from './migration-file.js';

const statement = (sql: string, parameters: unknown[] = []) => ({ sql, parameters });

describe('The file of a migration', () => {
  it('is typed, with the statements of both directions, their parameters, and a comment above a destructive one', () => {
    const up = [statement('INSERT INTO "t" VALUES ($1)', ["it's"]), statement('DROP TABLE "users"')];
    expect(
      migrationText('Drop1716200000000', 'ts', { up, down: [statement('CREATE TABLE "users" ()')] }),
    ).toBe(
      `import type { MigrationInterface, QueryRunner } from 'typeorm';

export class Drop1716200000000 implements MigrationInterface {
  name = 'Drop1716200000000';

  async up(queryRunner: QueryRunner): Promise<void> {
    await queryRunner.query(\`INSERT INTO "t" VALUES ($1)\`, ["it's"]);
    // Destructive: drops a table.
    await queryRunner.query(\`DROP TABLE "users"\`);
  }

  async down(queryRunner: QueryRunner): Promise<void> {
    await queryRunner.query(\`CREATE TABLE "users" ()\`);
  }
}
`,
    );
  });

  it.each(['commonjs', 'esm'] as const)(
    'runs the very statements as %s, whatever their text contains',
    async (language) => {
      const sql = "SELECT '`', '${process.exit()}', '\\', '\\u0041', '$1', 'a\r\nb'";
      const text = migrationText('Odd1716200000000', language, {
        up: [statement(sql, [`"'\`\u2028`])],
        down: [],
      });
      const code =
        language === 'esm'
          ? `${text.replace('export class', 'class')}; module.exports = { Odd1716200000000 }`
          : text;
      const module = { exports: {} as Record<string, new () => { up(runner: object): Promise<void> }> };
      // eslint-disable-next-line @typescript-eslint/no-implied-eval -- the text of the file is what the test is about
      (new Function('module', code) as (target: object) => void)(module);
      const calls: unknown[][] = [];
      await new module.exports['Odd1716200000000']!().up({ query: (...call: unknown[]) => calls.push(call) });
      expect(calls).toEqual([[sql, [`"'\`\u2028`]]]);
    },
  );

  it('is in the language that Node.js assumes', () => {
    expect(languageOf('src/migrations/x.ts')).toBe('ts');
    expect(languageOf('/nowhere/x.mjs')).toBe('esm');
    expect(languageOf('/nowhere/x.js')).toBe('commonjs');
    // The package.json of this package.
    expect(languageOf('src/migrations/x.js')).toBe('esm');
  });
});
