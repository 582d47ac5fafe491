// Writes .env.example and the tables of settings in the documentation: `npm run docs:settings`. A test fails when one of
// them differs from the table of settings.
import { readFileSync, writeFileSync } from 'node:fs';
import { envExample, TABLES, withTables } from './settings-docs.ts';

writeFileSync('.env.example', envExample());
for (const document of Object.keys(TABLES))
  writeFileSync(document, withTables(document, readFileSync(document, 'utf8')));
