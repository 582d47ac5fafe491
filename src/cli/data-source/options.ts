import type { OptionSpecs } from '../arguments.js';
import { ENV_FILE_OPTION } from '../environment-file.js';

/** The options by which a command finds its data source. */
export const DATA_SOURCE_OPTIONS: OptionSpecs = {
  'data-source': {
    value: 'FILE',
    short: 'd',
    help: 'a file that exports a data source of createDataSource()',
  },
  module: {
    value: 'FILE[#EXPORT]',
    help: "the app's root module, compiled; the app does not listen, and none of its hooks runs",
  },
  config: {
    value: 'FILE',
    help: 'a file that exports the options of DatabaseModule.forRoot() by default;\ndefault: nestjs-database.config.{ts,mts,js,mjs,cjs} in the current folder',
  },
  name: { value: 'NAME', help: 'the name of the data source, if the file or the module has several' },
  import: {
    value: 'MODULE',
    isRepeatable: true,
    help: "imports a module before, as node --import does: the app's TypeScript loader, for example tsx",
  },
  loader: {
    value: 'MODULE',
    isRepeatable: true,
    help: 'registers the hooks of a module loader before, as node --loader does: for example ts-node/esm',
  },
  'env-file': ENV_FILE_OPTION,
};
