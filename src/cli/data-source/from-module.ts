import type { Type } from '@nestjs/common';
import { dataSourceNames } from '../../data-source-names.js';
import type { ManagedDataSource } from '../../data-source/managed-data-source.js';
import { CommandError } from '../../errors/command.error.js';
import { redact } from '../../text/masking.js';
import type { Output } from '../doctor/report.js';
import type { FileExports } from './import-file.js';

/** A promise of the data source that the app creates, as the command line captures it. */
export interface Capture {
  readonly name: string;
  readonly captured: Promise<ManagedDataSource>;
}

/**
 * The data source of an app's root module. The app is created as far as its data source, which does not connect: it neither listens nor
 * runs its hooks. Providers that do not depend on the data source may have been created: the process has to be ended.
 *
 * @throws CommandError if the module or the data source is not found
 * @throws any error of another provider of the app
 */
export async function dataSourceOfModule(
  module: Type,
  { name, captured }: Capture,
  err: Output,
): Promise<ManagedDataSource> {
  const { NestFactory, ModulesContainer } = await import('@nestjs/core');
  const options = { logger: errorLogger(err), abortOnError: false };
  // The preview creates no provider. Without it an app that has no data source would start, hooks included.
  const preview = await NestFactory.createApplicationContext(module, { ...options, preview: true });
  const names = dataSourceNames(preview.get(ModulesContainer));
  if (!names.includes(name))
    throw new CommandError(
      'usage',
      names.length === 0
        ? `The module ${module.name} imports no DatabaseModule.forRoot() or forRootAsync().`
        : `The module ${module.name} has no data source "${name}"; it has ${names.map((found) => `"${found}"`).join(', ')}.`,
      names.length === 0 ? 'Name the root module of the app.' : 'Choose one: --name NAME.',
    );
  const creation = NestFactory.createApplicationContext(module, options).then(() => {
    throw new CommandError('usage', `The app started without its data source "${name}".`);
  });
  return Promise.race([captured, creation, idle(name)]);
}

/** Rejects when nothing is left to do in this process: a provider never becomes ready. */
function idle(name: string): Promise<never> {
  return new Promise((_resolve, reject) =>
    process.once('beforeExit', () =>
      reject(
        new CommandError(
          'file',
          `The app did not create its data source "${name}": what its options depend on never became ready.`,
        ),
      ),
    ),
  );
}

/** The module that a file exports: the named export, the default export, or the only class. */
export function moduleIn(exports: FileExports, file: string, exportName: string | undefined): Type {
  const isClass = (value: unknown): value is Type => typeof value === 'function';
  const classes = Object.values(exports).filter(isClass);
  const onlyClass = classes.length === 1 ? classes[0] : undefined;
  // The default export of a CommonJS file is the object of all its exports.
  const byDefault = isClass(exports['default']) ? exports['default'] : onlyClass;
  const found = exportName === undefined ? byDefault : exports[exportName];
  if (isClass(found)) return found;
  const names = Object.keys(exports).filter((key) => isClass(exports[key]));
  throw new CommandError(
    'usage',
    `The file ${file} has no module${exportName === undefined ? ' as its default or only export' : ` "${exportName}"`}.`,
    names.length > 0 ? `Name one: --module ${file}#${names[0]}.` : undefined,
  );
}

/** Nest's logger: errors alone, without those that reject the creation of the app and are reported at the end. */
function errorLogger(err: Output) {
  const ignore = () => undefined;
  const write = (message: unknown, ...details: unknown[]) => {
    if (details.at(-1) !== 'ExceptionHandler') err.write(`${redact(String(message))}\n`);
  };
  return { log: ignore, warn: ignore, debug: ignore, verbose: ignore, error: write, fatal: write };
}
