const { layers: written, patternOf } = require('./scripts/layers.cjs');

const layers = written.map((layer) => ({ ...layer, paths: layer.paths.map(patternOf) }));

/** Nothing in a layer imports from a layer above it. */
const upward = layers
  .filter(({ level }) => level < 7)
  .map(({ level, paths }) => ({
    name: `layer-${level}-imports-nothing-above`,
    severity: 'error',
    from: { path: paths, pathNot: '\\.spec\\.ts$' },
    to: { path: layers.filter((other) => other.level > level).flatMap((other) => other.paths) },
  }));

/** Paths of one layer that do not import each other. */
const apart = layers
  .filter(({ apart }) => apart)
  .flatMap(({ paths }) =>
    paths.map((path) => ({
      name: `${path.replace(/\W+/g, '-')}-not-to-siblings`,
      severity: 'error',
      from: { path, pathNot: '\\.spec\\.ts$' },
      to: { path: paths.filter((other) => other !== path) },
    })),
  );

/** A package that only these places may import. */
const only = (name, path, allowed, extra = {}) => ({
  name: `only-some-layers-import-${name}`,
  severity: 'error',
  from: { path: '^src/', pathNot: [...allowed, '\\.spec\\.ts$'] },
  to: { path, ...extra },
});

const pathsFrom = (level) => layers.filter((layer) => layer.level >= level).flatMap(({ paths }) => paths);

module.exports = {
  forbidden: [
    ...upward,
    ...apart,
    only('pg', '(^|/)node_modules/(@types/)?pg/', ['^src/connection/', '^src/data-source/']),
    only('typeorm', '(^|/)node_modules/typeorm/', pathsFrom(3), { dependencyTypesNot: ['type-only'] }),
    only('nest', '(^|/)node_modules/@nestjs/', [
      ...pathsFrom(4),
      '^src/config/environment/environment\\.ts$',
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
