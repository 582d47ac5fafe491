import { runTool } from './postgres-tools.js';

/** Runs a file as its first lines say. Variables of psql have values, so that a text that uses one changes. */
export function runSqlFile(bin: string, file: string, url: string): Promise<string> {
  const variables = ['name=VARIABLE', 'x=X', 'n=N'].flatMap((variable) => ['-v', variable]);
  return runTool(bin, 'psql', ['-X', '-q', '-v', 'ON_ERROR_STOP=1', ...variables, '-f', file, url]);
}

/** Schema and data of a database as SQL, which is the same for two databases of different names. */
export async function dumpOf(bin: string, url: string): Promise<string> {
  const text = await runTool(bin, 'pg_dump', ['--inserts', '--no-owner', url]);
  // The first and the last line of a dump have a random key.
  return text.replaceAll(new URL(url).pathname.slice(1), 'DATABASE').replace(/^\\(un)?restrict.*$/gm, '');
}
