// Joins the files that `nest build` has written, one for each source, into few files for each entry point: as ESM in
// dist/esm, as CommonJS in dist/cjs. Node spends most of an import on finding, reading and linking files.
import { cpSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { rolldown } from 'rolldown';

const dist = fileURLToPath(new URL('../dist/', import.meta.url));
const compiled = join(dist, 'esm');
const library = { index: 'index.js', 'pool/index': 'pool/index.js' };
// The program is available as ESM only. It is one file of its own, which loads the library by import() only for the commands that create
// a data source: shared files would split the library into more files, which each app would load.
const program = { 'cli/main': 'cli/main.js' };

/** Keeps the program's import of the entry point: `../index.js`, seen from `cli/main.js`. */
const programImportsLibrary = {
  name: 'program-imports-library',
  resolveId: (id) => (id === '../../index.js' ? { id: '../index.js', external: true } : null),
};
const files = readdirSync(compiled, { recursive: true });
const output = [
  ...(await bundle('esm', library)),
  ...(await bundle('esm', program, [programImportsLibrary])),
  ...(await bundle('cjs', library)),
  // The package is ESM ("type": "module"). Only with this marker beside it, Node reads the CommonJS build as CommonJS.
  { path: 'cjs/package.json', text: '{ "type": "commonjs" }\n' },
];
for (const file of files) {
  if (/\.js(\.map)?$/.test(file)) rmSync(join(compiled, file));
  // Declarations are the same for both builds; TypeScript tells them apart by the nearest package.json.
  else if (file.endsWith('.d.ts') && !file.startsWith('cli'))
    cpSync(join(compiled, file), join(dist, 'cjs', file));
}
for (const { path, text } of output) {
  mkdirSync(dirname(join(dist, path)), { recursive: true });
  writeFileSync(join(dist, path), text);
}

/**
 * The files of one build. Code that several entry points use is in files of its own, so that they share its classes.
 * @param plugins of this build alone
 */
async function bundle(format, entries, plugins = []) {
  const build = await rolldown({
    cwd: compiled,
    input: Object.fromEntries(Object.entries(entries).map(([name, file]) => [name, join(compiled, file)])),
    platform: 'node',
    // Everything that is not a relative path is another package.
    external: /^[^./]/,
    plugins: [...plugins, { name: 'source-maps', load: compiledFile }],
  });
  const { output: bundled } = await build.generate({
    dir: join(dist, format),
    format,
    sourcemap: true,
    entryFileNames: '[name].js',
    chunkFileNames: 'shared/[name].js',
    // `import()` of another package must reach what the CommonJS build has required, and works in Jest only as require().
    dynamicImportInCjs: false,
    esModule: true,
    exports: 'named',
    // Nest's messages and our errors show the names of classes.
    keepNames: true,
    // The source maps contain the sources with their comments.
    comments: false,
  });
  await build.close();
  return bundled.map((file) => ({
    path: join(format, file.fileName),
    text: file.type === 'chunk' ? escaped(file.code) : file.source,
  }));
}

/** Code in ASCII: V8 keeps a source with one character beyond Latin-1 in memory with two bytes for each character. */
function escaped(code) {
  return code.replace(/[^\t\n -~]/g, (unit) => `\\u${unit.charCodeAt(0).toString(16).padStart(4, '0')}`);
}

/** A compiled file with its source map, so that those of the output lead to `src`. */
function compiledFile(path) {
  if (!path.startsWith(compiled)) return null;
  return { code: readFileSync(path, 'utf8'), map: JSON.parse(readFileSync(`${path}.map`, 'utf8')) };
}
