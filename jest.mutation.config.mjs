import config from './jest.config.mjs';

// The model with fewer runs, and no server.
process.env.POOL_MODEL_RUNS ??= '40';

export default {
  ...config,
  testMatch: ['<rootDir>/src/{pool,connection}/*.spec.ts'],
  globalSetup: undefined,
  globalTeardown: undefined,
};
