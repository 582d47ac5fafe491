import { existsSync } from 'node:fs';
import type { ManagedDataSource } from '../../data-source/managed-data-source.js';
import { CommandError } from '../../errors/command.error.js';
import type { DataSourceConfig } from '../../create-data-source.js';
import { dataSourceIn, isManaged } from './from-exports.js';
import type { FileExports } from './import-file.js';

const CONFIG_FILES = ['ts', 'mts', 'js', 'mjs', 'cjs'].map(
  (extension) => `nestjs-database.config.${extension}`,
);

/** The configuration file of the current folder. */
export function findConfigFile(): string | undefined {
  return CONFIG_FILES.find((file) => existsSync(file));
}

/** The default export of a configuration file as a data source: its options, or a function or a promise of them, or a data source. */
export async function dataSourceOfConfig(
  exports: FileExports,
  file: string,
  name: string | undefined,
): Promise<ManagedDataSource> {
  const exported = await exports['default'];
  const config: unknown = typeof exported === 'function' ? await (exported as () => unknown)() : exported;
  if (typeof config !== 'object' || config === null)
    throw new CommandError(
      'file',
      `The file ${file} has no options as its default export.`,
      "Write: export default defineConfig({ entities: ['src/**/*.entity.ts'], migrations: ['src/migrations/*.ts'] });",
    );
  if (isManaged(config) || 'driver' in config) return dataSourceIn({ default: config }, file, name);
  // Nest and TypeORM are loaded only by commands that need them.
  const { createDataSource } = await import('../../index.js');
  const options = { ...(config as DataSourceConfig), ...(name !== undefined && { name }) };
  // A command never synchronizes; the warning of a start would mislead.
  return createDataSource({ ...options, synchronize: false });
}
