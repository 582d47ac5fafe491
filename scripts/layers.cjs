/**
 * The layers of `src`. The rules of `.dependency-cruiser.cjs` and the table in CONTRIBUTING.md come from this list.
 * `apart`: the paths of the layer do not import each other.
 */
exports.layers = [
  {
    level: 7,
    paths: ['^src/index\\.ts$', '^src/cli/'],
    content: 'the entry point and the command line',
  },
  {
    level: 6,
    paths: ['^src/database\\.(module|module-definition|providers)\\.ts$'],
    content: 'the Nest module and its providers',
  },
  {
    level: 5,
    paths: ['^src/unit-of-work/', '^src/health/', '^src/monitoring/'],
    apart: true,
    content: 'what an app uses: the runner of a request, health, monitoring',
  },
  {
    level: 4,
    paths: ['^src/database\\.tokens\\.ts$'],
    content: 'injection tokens and decorators',
  },
  {
    level: 3,
    paths: ['^src/data-source/'],
    content: 'TypeORM: data source, query runner, start, pooler, replicas',
  },
  {
    level: 2,
    paths: ['^src/pool/'],
    content: 'many connections: waiters, leases, lifetimes; no SQL',
  },
  {
    level: 1,
    paths: ['^src/connection/', '^src/config/'],
    apart: true,
    content: 'one connection to PostgreSQL; the settings, resolved once',
  },
  {
    level: 0,
    paths: [
      '^src/database\\.(options|typeorm-options|errors|snapshot)\\.ts$',
      '^src/diagnosis/',
      '^src/text/',
    ],
    content: 'types of the settings, errors, meanings of failures, text',
  },
];
