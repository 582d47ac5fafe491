// Which changes of the pool's code would no test notice? `npm run mutation`. The unit tests alone: those on a real
// server would take hours.
export default {
  testRunner: 'jest',
  testRunnerNodeArgs: ['--experimental-vm-modules'],
  jest: { configFile: 'jest.mutation.config.mjs' },
  mutate: ['src/{pool,connection}/**/*.ts', '!**/*.spec.ts'],
  coverageAnalysis: 'perTest',
  concurrency: 2,
  timeoutMS: 6_000,
  reporters: ['clear-text', 'progress-append-only'],
  clearTextReporter: { allowColor: false, logTests: false, reportScoreTable: true },
  tempDirName: '.stryker-tmp',
};
