// Nest 12 is ESM only, so the tests are too: run them by `npm test`, which sets --experimental-vm-modules.
export default {
  testEnvironment: 'node',
  // The default is a folder among the temporary ones that stays there.
  cacheDirectory: '<rootDir>/node_modules/.cache/jest',
  roots: ['<rootDir>/src', '<rootDir>/test'],
  testMatch: ['**/*.spec.ts'],
  extensionsToTreatAsEsm: ['.ts'],
  transform: {
    '^.+\\.ts$': [
      '@swc/jest',
      {
        jsc: {
          target: 'es2022',
          parser: { syntax: 'typescript', decorators: true },
          transform: { legacyDecorator: true, decoratorMetadata: true },
        },
        module: { type: 'es6' },
        sourceMaps: 'inline',
      },
    ],
  },
  moduleNameMapper: {
    '^(\\.{1,2}/.*)\\.js$': '$1',
    '^nestjs-database$': '<rootDir>/src/index.ts',
    '^nestjs-database/pool$': '<rootDir>/src/pool/index.ts',
  },
  globalSetup: '<rootDir>/test/support/global-setup.mjs',
  globalTeardown: '<rootDir>/test/support/global-teardown.mjs',
  setupFiles: ['<rootDir>/test/support/prepared-statements.ts', '<rootDir>/test/support/multiplex.ts'],
  testSequencer: '<rootDir>/test/support/sequencer.mjs',
  testTimeout: 30_000,
  // Jest's own choice leaves one core out; most tests wait for a server or a timer.
  maxWorkers: 2,
};
