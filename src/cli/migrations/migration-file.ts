import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, join, resolve } from 'node:path';
import { pathToFileURL } from 'node:url';
import type { SchemaStatement } from '../../migrations/schema-diff/compare-schema.js';
import { destructiveReason } from '../../migrations/schema-diff/destructive.js';
import type { Arguments, OptionSpecs } from '../arguments.js';

/** The language of a migration's file. */
export type MigrationLanguage = 'ts' | 'esm' | 'commonjs';

/** The options by which `generate` and `create` decide where they write which file. */
export const FILE_OPTIONS: OptionSpecs = {
  dir: {
    value: 'FOLDER',
    help: 'the folder of the file; default: that of the pattern in migrations, or src/migrations',
  },
  js: { help: 'writes JavaScript, as ESM or CommonJS as the package.json of the folder says' },
  esm: { help: 'writes JavaScript as ESM, with the extension .mjs' },
};

/** The extension of the new file. */
export function extensionOf(args: Arguments): 'ts' | 'js' | 'mjs' {
  return args.has('esm') ? 'mjs' : args.has('js') ? 'js' : 'ts';
}

/** The language that Node.js assumes for a file. */
export function languageOf(file: string): MigrationLanguage {
  if (file.endsWith('.ts')) return 'ts';
  return file.endsWith('.mjs') || isInEsmPackage(resolve(file)) ? 'esm' : 'commonjs';
}

function isInEsmPackage(file: string): boolean {
  for (let folder = dirname(file); ; folder = dirname(folder)) {
    try {
      const { type } = JSON.parse(readFileSync(join(folder, 'package.json'), 'utf8')) as { type?: string };
      return type === 'module';
    } catch {
      if (folder === dirname(folder)) return false;
    }
  }
}

/** The text of a migration: with statements, or a frame for them. */
export function migrationText(
  className: string,
  language: MigrationLanguage,
  { up, down }: { readonly up: readonly SchemaStatement[]; readonly down: readonly SchemaStatement[] },
): string {
  const isTs = language === 'ts';
  const lines = isTs
    ? ["import type { MigrationInterface, QueryRunner } from 'typeorm';", '']
    : ["/** @implements {import('typeorm').MigrationInterface} */"];
  const parameter = isTs ? 'queryRunner: QueryRunner' : 'queryRunner';
  const result = isTs ? ': Promise<void>' : '';
  const jsdoc = isTs ? [] : ["  /** @param {import('typeorm').QueryRunner} queryRunner */"];
  lines.push(
    `${language === 'commonjs' ? '' : 'export '}class ${className}${isTs ? ' implements MigrationInterface' : ''} {`,
    `  name = '${className}';`,
    '',
    ...jsdoc,
    `  async up(${parameter})${result} {`,
    ...up.flatMap((statement) => statementLines(statement, destructiveReason(statement.sql))),
    '  }',
    '',
    ...jsdoc,
    `  async down(${parameter})${result} {`,
    ...down.flatMap((statement) => statementLines(statement, undefined)),
    '  }',
    '}',
  );
  if (language === 'commonjs') lines.push('', `module.exports = { ${className} };`);
  return `${lines.join('\n')}\n`;
}

function statementLines({ sql, parameters }: SchemaStatement, destructive: string | undefined): string[] {
  const values = parameters.length === 0 ? '' : `, ${JSON.stringify(parameters)}`;
  return [
    ...(destructive === undefined ? [] : [`    // Destructive: ${destructive}.`]),
    `    await queryRunner.query(${templateLiteral(sql)}${values});`,
  ];
}

/** Statements contain both kinds of quotes. A carriage return in a template literal would become a newline. */
function templateLiteral(text: string): string {
  const escaped = text
    .replaceAll('\\', '\\\\')
    .replaceAll('`', '\\`')
    .replaceAll('${', '\\${')
    .replaceAll('\r', '\\r');
  return `\`${escaped}\``;
}

interface Prettier {
  resolveConfig(file: string, options: object): Promise<object | null>;
  format(text: string, options: object): Promise<string>;
}

/** Formats a file with the Prettier of the app and its configuration; without one, or if it fails, the text stays as it is. */
export async function formatted(text: string, file: string): Promise<string> {
  try {
    const path = createRequire(pathToFileURL(resolve('package.json'))).resolve('prettier');
    const loaded = (await import(pathToFileURL(path).href)) as Prettier & { default?: Prettier };
    const prettier = loaded.default ?? loaded;
    const filepath = resolve(file);
    const config = await prettier.resolveConfig(filepath, { editorconfig: true });
    return await prettier.format(text, { ...config, filepath });
  } catch {
    return text;
  }
}
