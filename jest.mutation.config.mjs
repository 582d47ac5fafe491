import config from './jest.config.mjs';

// The model with fewer runs.
process.env.POOL_MODEL_RUNS ??= '20';

// Which specs, by glob; those on a real server too, when they are named: `MUTATION_SPECS=test/connection/*.spec.ts`.
const specs = process.env.MUTATION_SPECS ?? 'src/{pool,connection}/**/*.spec.ts';
const server = specs.includes('test/');

export default {
  ...config,
  testMatch: [`<rootDir>/${specs}`],
  globalSetup: server ? config.globalSetup : undefined,
  globalTeardown: server ? config.globalTeardown : undefined,
  // What a change lets hang fails here, and not by the end of a whole process.
  testTimeout: server ? 10_000 : 2_000,
};
