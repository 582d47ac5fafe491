// The rooms of the house: imports go down or to a sibling in the same room, never up and never in a circle.
const floors = [
  [
    '^src/database\\.(options|typeorm-options|errors|snapshot)\\.ts$',
    '^src/(diagnosis|failures|masking|stack-frames|statement-failures)\\.ts$',
  ],
  ['^src/config/', '^src/connection/'],
  ['^src/pool(/|\\.ts$)'],
  ['^src/data-source/'],
  ['^src/database\\.tokens\\.ts$'],
  ['^src/(request|transactions|health|monitoring|migrations|dashboard)/'],
  ['^src/database\\.(module|module-definition|providers)\\.ts$'],
  ['^src/index\\.ts$', '^src/(cli|testing)/'],
];

/** Nothing on a floor imports from a floor above it. */
const upward = floors.slice(0, -1).map((rooms, floor) => ({
  name: `floor-${floor}-imports-nothing-above`,
  severity: 'error',
  from: { path: rooms, pathNot: '\\.spec\\.ts$' },
  to: { path: floors.slice(floor + 1).flat() },
}));

/** Rooms of one floor that know nothing of each other. */
const apart = (from, to) => ({
  name: `${from.replace(/\W+/g, '-')}-not-to-siblings`,
  severity: 'error',
  from: { path: `^src/${from}/`, pathNot: '\\.spec\\.ts$' },
  to: { path: to.map((room) => `^src/${room}/`) },
});
const uppermost = ['request', 'transactions', 'health', 'monitoring', 'migrations', 'dashboard'];

/** A package that only these places may import. */
const only = (name, path, allowed, extra = {}) => ({
  name: `only-some-rooms-import-${name}`,
  severity: 'error',
  from: { path: '^src/', pathNot: [...allowed, '\\.spec\\.ts$'] },
  to: { path, ...extra },
});

module.exports = {
  forbidden: [
    ...upward,
    apart('config', ['connection']),
    apart('connection', ['config']),
    ...uppermost.map((room) =>
      apart(
        room,
        uppermost.filter((other) => other !== room && !(room === 'transactions' && other === 'request')),
      ),
    ),
    only('pg', '(^|/)node_modules/(@types/)?pg/', ['^src/connection/', '^src/data-source/']),
    only(
      'typeorm',
      '(^|/)node_modules/typeorm/',
      [
        '^src/(data-source|request|transactions|health|monitoring|migrations|dashboard|cli|testing)/',
        '^src/(database\\.(tokens|module|module-definition|providers)|index)\\.ts$',
      ],
      { dependencyTypesNot: ['type-only'] },
    ),
    only('nest', '(^|/)node_modules/@nestjs/', [
      '^src/(request|transactions|health|monitoring|migrations|dashboard|cli|testing)/',
      '^src/(database\\.(tokens|module|module-definition|providers)|index)\\.ts$',
      '^src/config/environment\\.ts$',
    ]),
    only('terminus', '(^|/)node_modules/@nestjs/terminus/', ['^src/health/']),
    {
      name: 'no-circle',
      severity: 'error',
      from: { path: '^src/' },
      to: { circular: true },
    },
    {
      name: 'no-test-code-in-the-package',
      severity: 'error',
      from: { path: '^src/', pathNot: '\\.spec\\.ts$' },
      to: { path: ['^test/', '^example/', '^bench/', '\\.spec\\.ts$'] },
    },
    {
      name: 'no-dev-dependency-in-the-package',
      severity: 'error',
      from: { path: '^src/', pathNot: '\\.spec\\.ts$' },
      to: { dependencyTypes: ['npm-dev'], dependencyTypesNot: ['npm-peer', 'type-only'] },
    },
    {
      name: 'no-unknown-module',
      severity: 'error',
      from: { path: '^src/' },
      to: { couldNotResolve: true },
    },
  ],
  options: {
    doNotFollow: { path: 'node_modules' },
    tsConfig: { fileName: 'tsconfig.json' },
    tsPreCompilationDeps: true,
    enhancedResolveOptions: {
      exportsFields: ['exports'],
      conditionNames: ['import', 'types', 'node', 'default'],
    },
  },
};
