import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { dirname, join, resolve } from 'node:path';
import ts from 'typescript';
import { blocksOf, PAGES } from './markdown.js';
import type { Block } from './markdown.js';

/** Pages may use this file of the README without showing it again. */
const SHARED = 'src/users/user.entity.ts';
/** Compiler errors that are allowed in a fragment: it need not declare or use everything. */
const NOT_IN_FRAGMENTS = [2304, 2552, 18004, 6133];

interface SourceFile {
  /** On disk. */
  readonly path: string;
  /** `README.md:12`, for messages. */
  readonly place: string;
  readonly fragment: boolean;
}

/**
 * The TypeScript of all pages as files, a folder for each page. A block is a file when its first line names it
 * (`// src/main.ts`), else a fragment; a diff is two files, before and after.
 */
export class CodeOfDocs {
  // In a folder that git, Prettier and ESLint ignore. It is inside the repository, so that packages are found.
  private readonly folder = temporaryFolder();
  private readonly files: SourceFile[] = [];

  constructor() {
    for (const page of PAGES) {
      const named = blocksOf(page, 'ts', 'diff').map((block) => this.write(block));
      if (page !== 'README.md' && named.length > 0 && !named.includes(SHARED))
        this.put({ page, name: SHARED, text: userEntity(), place: SHARED, fragment: false });
    }
  }

  /** The path of a page's file, for an import. */
  pathOf(page: string, name: string): string {
    const path = join(this.folder, page, name);
    if (!this.files.some((file) => file.path === path)) throw new Error(`${page} has no file ${name}`);
    return path;
  }

  /** The errors of the compiler, with page and line. */
  problems(): string[] {
    const { config } = ts.readConfigFile('tsconfig.json', (path) => ts.sys.readFile(path));
    const { options } = ts.parseJsonConfigFileContent(config, ts.sys, process.cwd());
    const program = ts.createProgram(
      this.files.map(({ path }) => path),
      options,
    );
    return this.files.flatMap((file) => {
      const source = program.getSourceFile(file.path);
      return [...program.getSyntacticDiagnostics(source), ...program.getSemanticDiagnostics(source)]
        .filter(({ code }) => !file.fragment || !NOT_IN_FRAGMENTS.includes(code))
        .map((diagnostic) => described(diagnostic, file));
    });
  }

  remove(): void {
    rmSync(this.folder, { recursive: true, force: true });
  }

  private write({ page, line, language, text }: Block): string {
    const place = `${page}:${line}`;
    const name = /^ ?\/\/ (src\/\S+\.ts)$/m.exec(text)?.[1];
    if (language === 'ts') {
      const fragment = name === undefined;
      const complete = fragment ? `${text}\nexport {};\n` : text;
      this.put({ page, name: name ?? `fragment-${line}.ts`, text: complete, place, fragment });
    } else {
      if (name === undefined) throw new Error(`${place}: the diff does not name its file`);
      const side = (sign: string) => text.replace(new RegExp(`^\\${sign}.*\n`, 'gm'), '').replace(/^./gm, '');
      this.put({ page, name, text: side('-'), place: `${place} (after)`, fragment: false });
      const before = name.replace(/\.ts$/, '.before.ts');
      this.put({ page, name: before, text: side('+'), place: `${place} (before)`, fragment: false });
    }
    return name ?? '';
  }

  private put(file: { page: string; name: string; text: string; place: string; fragment: boolean }): void {
    const path = join(this.folder, file.page, file.name);
    if (this.files.some((known) => known.path === path))
      throw new Error(`${file.place}: a second ${file.name}`);
    mkdirSync(dirname(path), { recursive: true });
    writeFileSync(path, file.text);
    this.files.push({ path, place: file.place, fragment: file.fragment });
  }
}

function temporaryFolder(): string {
  mkdirSync('reports', { recursive: true });
  return mkdtempSync(resolve('reports/docs-'));
}

function userEntity(): string {
  const block = blocksOf('README.md', 'ts').find(({ text }) => text.startsWith(`// ${SHARED}`));
  if (!block) throw new Error(`README.md has no ${SHARED}`);
  return block.text;
}

function described({ file, start = 0, messageText }: ts.Diagnostic, { place }: SourceFile): string {
  const line = file ? file.getLineAndCharacterOfPosition(start).line : 0;
  const text = ts.flattenDiagnosticMessageText(messageText, ' ');
  return `${place} + ${line}: ${text}`;
}
