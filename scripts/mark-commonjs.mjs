// The package is ESM ("type": "module"); Node reads the CommonJS build as CommonJS only with this marker beside it.
import { writeFileSync } from 'node:fs';

writeFileSync(new URL('../dist/cjs/package.json', import.meta.url), '{ "type": "commonjs" }\n');
