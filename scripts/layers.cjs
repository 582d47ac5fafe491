/**
 * The layers of `src`, the highest first. Imports point down. The rules in `.dependency-cruiser.cjs` derive from this list,
 * and a test compares the table in CONTRIBUTING.md with it. In a layer that is `apart`, the paths do not import each other.
 */
exports.layers = [
  {
    level: 7,
    paths: ['src/index.ts', 'src/cli/'],
    content: 'the entry point and the command line',
  },
  {
    level: 6,
    paths: [
      'src/database.module.ts',
      'src/database.module-definition.ts',
      'src/database.providers.ts',
      'src/create-data-source.ts',
      'src/data-source-names.ts',
      'src/migration-tools.ts',
      'src/command-line-host.ts',
    ],
    content: 'the Nest module and its providers; the data source outside an app',
  },
  {
    level: 5,
    paths: ['src/unit-of-work/', 'src/health/', 'src/monitoring/', 'src/migrations/'],
    apart: true,
    content: 'what an app uses: the runner of a request, health, monitoring, migrations',
  },
  {
    level: 4,
    paths: ['src/database.tokens.ts'],
    content: 'injection tokens and decorators',
  },
  {
    level: 3,
    paths: ['src/data-source/'],
    content: 'TypeORM: data source, query runner, start, pooler, replicas',
  },
  {
    level: 2,
    paths: ['src/pool/'],
    content: 'many connections: waiters, leases, lifetimes; no SQL',
  },
  {
    level: 1,
    paths: ['src/connection/', 'src/config/'],
    apart: true,
    content: 'one connection to PostgreSQL; the settings, resolved once',
  },
  {
    level: 0,
    paths: [
      'src/database.options.ts',
      'src/database.typeorm-options.ts',
      'src/database.snapshot.ts',
      'src/errors/',
      'src/diagnosis/',
      'src/text/',
    ],
    content: 'types of the settings, errors, diagnoses of failures, text',
  },
];

/** A path of a layer as a regular expression. */
exports.patternOf = (path) => `^${path.replaceAll('.', '\\.')}${path.endsWith('/') ? '' : '$'}`;
