// One file, so that the build has one more file for each format: commands load it by import(), and apps never do.
export { writeMigrationSql } from './offline/write-migration-sql.js';
export { compareSchema } from './schema-diff/compare-schema.js';
