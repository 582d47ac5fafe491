import { dirname, relative, resolve } from 'node:path';

const DEFAULT_FOLDER = 'src/migrations';
/** Folders of compilers: a source file does not belong there. */
const OUTPUT_FOLDERS = ['dist', 'build', 'out'];

/**
 * The folder for new migrations: the one of the patterns in `migrations` that find files of this extension, if it is clear.
 *
 * @param migrations the option of the data source: patterns and classes
 * @param extension of the new file: `ts`
 * @returns `src/migrations` if the patterns name no folder, or several
 */
export function migrationsFolder(migrations: unknown, extension: string): string {
  const entries = typeof migrations === 'object' && migrations !== null ? Object.values(migrations) : [];
  const patterns = entries.filter((entry): entry is string => typeof entry === 'string');
  const folders = new Set(patterns.flatMap((pattern) => folderOf(pattern.replaceAll('\\', '/'), extension)));
  const [folder = DEFAULT_FOLDER, ...others] = folders;
  return others.length > 0 ? DEFAULT_FOLDER : folder;
}

function folderOf(pattern: string, extension: string): string[] {
  const file = pattern.slice(pattern.lastIndexOf('/') + 1);
  // `*.ts`, `*.{ts,js}`, `*{.ts,.js}`
  if (!new RegExp(`[.{,]${extension}(?![a-z])`).test(file)) return [];
  const folder = dirname(pattern).replace(/(?:\/\*\*)+$/, '');
  if (/[*?{}[\]()!]/.test(folder)) return [];
  const fromHere = relative('.', resolve(folder)).replaceAll('\\', '/');
  return fromHere.split('/').some((name) => OUTPUT_FOLDERS.includes(name))
    ? []
    : [fromHere === '' ? '.' : fromHere];
}
