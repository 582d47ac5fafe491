import { existsSync } from 'node:fs';
import { createRequire, register } from 'node:module';
import { resolve } from 'node:path';
import { pathToFileURL } from 'node:url';
import { CommandError } from '../../errors/command.error.js';
import { redact } from '../../text/masking.js';
import { textOf } from '../../text/text-of.js';

/** The exports of a file, by their names. */
export type FileExports = Readonly<Record<string, unknown>>;

/** Loads the modules of `--import` and registers those of `--loader`, found from the current folder. */
export async function prepareLoaders(imports: readonly string[], loaders: readonly string[]): Promise<void> {
  const folder = pathToFileURL(resolve('package.json'));
  for (const loader of loaders)
    await guarded(`--loader ${shown(loader)}`, () => Promise.resolve(register(loader, folder)));
  for (const name of imports)
    await guarded(`--import ${shown(name)}`, () => import(resolveModule(name, folder)) as Promise<unknown>);
}

/** A path of the current folder, or a package of the app. */
function resolveModule(name: string, folder: URL): string {
  if (/^[a-z]{2,}:/i.test(name)) return name;
  try {
    return pathToFileURL(createRequire(folder).resolve(name)).href;
  } catch (error) {
    // A package that only `import` may load; it is found from the folder of this package, which the app usually shares.
    if ((error as NodeJS.ErrnoException).code === 'ERR_PACKAGE_PATH_NOT_EXPORTED') return name;
    throw error;
  }
}

async function guarded(what: string, load: () => Promise<unknown>): Promise<void> {
  try {
    await load();
  } catch (error) {
    throw new CommandError('file', `${what}: cannot be loaded: ${messageOf(error)}`);
  }
}

/** An argument that is a URL is not repeated: it may hold a password. */
const shown = (argument: string) => (argument.includes('://') ? '(a URL)' : argument);

/**
 * Imports a file of the app: ESM or CommonJS, or TypeScript by the app's own loader.
 *
 * @throws CommandError if the file does not exist or cannot be loaded, with the loader to add for TypeScript
 */
export async function importFile(path: string): Promise<FileExports> {
  const file = resolve(path);
  if (path.includes('://')) throw new CommandError('usage', 'A URL was given instead of a file.');
  if (!existsSync(file)) throw new CommandError('file', `The file ${path} does not exist.`);
  try {
    return withoutInterop((await import(pathToFileURL(file).href)) as FileExports);
  } catch (error) {
    throw new CommandError(
      'file',
      `The file ${path} cannot be loaded: ${messageOf(error)}`,
      loaderHint(error, file),
    );
  }
}

/** `import()` of CommonJS has `module.exports` as its default export; TypeScript, and code like it, writes `exports.default` there. */
function withoutInterop(exports: FileExports): FileExports {
  const inner = exports['default'];
  const isInterop =
    typeof inner === 'object' && inner !== null && ('__esModule' in inner || 'default' in inner);
  return isInterop ? inner : exports;
}

function messageOf(error: unknown): string {
  // The stack of a syntax error begins with its place in the file.
  const text = error instanceof SyntaxError ? (error.stack ?? '').split('\n    at ')[0]! : textOf(error);
  return redact(text.trim());
}

/** Failures of Node.js with TypeScript: an unknown extension, syntax that it cannot strip, and imports of `.js` that are `.ts`. */
const TYPESCRIPT_FAILURES = [
  'ERR_UNKNOWN_FILE_EXTENSION',
  'ERR_UNSUPPORTED_TYPESCRIPT_SYNTAX',
  'ERR_INVALID_TYPESCRIPT_SYNTAX',
  'ERR_UNSUPPORTED_NODE_MODULES_TYPE_STRIPPING',
  'ERR_MODULE_NOT_FOUND',
  'MODULE_NOT_FOUND',
];

/**
 * Which loader to add if Node.js alone could not load a TypeScript file; undefined for any other failure.
 *
 * @param file that was loaded. @defaultValue the one that the error names
 */
export function loaderHint(error: unknown, file = ''): string | undefined {
  const { code } = (error ?? {}) as NodeJS.ErrnoException;
  const isSyntax = error instanceof SyntaxError || TYPESCRIPT_FAILURES.includes(String(code));
  const text = error instanceof SyntaxError ? (error.stack ?? '') : textOf(error);
  if (!isSyntax || !(/\.[cm]?ts$/.test(file) || /\.[cm]?ts\b/.test(text))) return undefined;
  return (
    "Add the app's TypeScript loader: --import tsx, --import @swc-node/register/esm-register or --loader ts-node/esm, whichever the " +
    'app has installed; or give a compiled file. Node.js alone loads TypeScript from version 22.18 on, without decorators.'
  );
}
