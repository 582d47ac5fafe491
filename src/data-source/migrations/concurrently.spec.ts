import { describe, expect, it } from '@jest/globals';
import { findConcurrently } from './concurrently.js';
import { readSource } from './source-text.js';

describe('a statement with CONCURRENTLY', () => {
  it.each<[string, string]>([
    ['in quotes', `async up(q) { await q.query('CREATE INDEX CONCURRENTLY i ON t (a)'); }`],
    ['in double quotes', `async up(q) { await q.query("create unique index concurrently i on t (a)"); }`],
    [
      'in a template',
      'async up(q) { await q.query(`\n  CREATE INDEX\n  CONCURRENTLY i ON ${this.table} (a)`); }',
    ],
    ['behind an expression of a template', 'up(q) { q.query(`SET x = ${y}; DROP INDEX CONCURRENTLY i`) }'],
    ['in a template in an expression', 'up(q) { q.query(`${a ? `REINDEX INDEX CONCURRENTLY i` : ""}`) }'],
    ['in pieces', `up(q) { q.query('CREATE INDEX ' + /* fast */ 'CONCURRENTLY ' +\n "i ON t (a)") }`],
    ['in a piece and a template', "up(q) { q.query('CREATE INDEX ' + `CONCURRENTLY ${name} ON t (a)`) }"],
    ['with escapes', String.raw`up(q) { q.query('CREATE INDEX\n\tCONCURRENTLY it\'s') }`],
    ['of REINDEX', `up(q) { q.query('REINDEX (CONCURRENTLY) TABLE t') }`],
    ['of DETACH PARTITION', `up(q) { q.query('ALTER TABLE t DETACH PARTITION p CONCURRENTLY') }`],
    ['as the second statement', `up(q) { q.query('SELECT 1; DROP INDEX CONCURRENTLY IF EXISTS i') }`],
    ['behind a comment of SQL', 'up(q) { q.query(`CREATE INDEX -- fast\n CONCURRENTLY i ON t (a)`) }'],
    [
      'behind a regular expression with a quote',
      `up(q) { if (/it's/.test(a)) q.query('DROP INDEX CONCURRENTLY i') }`,
    ],
    ['behind a division', `up(q) { const half = a / 2; q.query('DROP INDEX CONCURRENTLY i'); b / 2 }`],
    [
      'as the option of TypeORM',
      `up(q) { q.createIndex('t', new TableIndex({ columnNames: ['a'], isConcurrent: true })) }`,
    ],
    ['as the option of TypeORM, minified', `up(q){q.createIndex("t",new T({isConcurrent:!0}))}`],
  ])('is found %s', (_where, source) => {
    expect(findConcurrently(source)).toBeDefined();
  });

  it.each<[string, string]>([
    [
      'in a comment of a line',
      `up(q) { // CREATE INDEX CONCURRENTLY i: 'CREATE INDEX CONCURRENTLY'\n q.query('SELECT 1') }`,
    ],
    ['in a comment of a block', `up(q) { /* q.query('CREATE INDEX CONCURRENTLY i') isConcurrent: true */ }`],
    [
      'in a comment of SQL',
      'up(q) { q.query(`-- CREATE INDEX CONCURRENTLY i\n SELECT 1 /* DROP INDEX CONCURRENTLY */`) }',
    ],
    ['in a string of SQL', `up(q) { q.query("INSERT INTO notes VALUES ('CREATE INDEX CONCURRENTLY i')") }`],
    ['in a dollar-quoted string', 'up(q) { q.query("SELECT $x$ DROP INDEX CONCURRENTLY i $x$") }'],
    [
      'of REFRESH, which may run in a transaction',
      `up(q) { q.query('REFRESH MATERIALIZED VIEW CONCURRENTLY v') }`,
    ],
    ['as a name', `up(q) { q.query('CREATE INDEX i ON concurrently (a)') }`],
    ['in a statement before it', `up(q) { q.query('REINDEX TABLE t; SELECT concurrently FROM t') }`],
    ['in literals that are not joined', `up(q) { q.query('CREATE INDEX ', 'CONCURRENTLY') }`],
    ['in a regular expression', 'up(q) { return /CREATE INDEX CONCURRENTLY/ }'],
    ['as an option that is off', `up(q) { new TableIndex({ isConcurrent: false }) }`],
    ['as another option', `up(q) { run({ notConcurrent: true }) }`],
  ])('is not found %s', (_where, source) => {
    expect(findConcurrently(source)).toBeUndefined();
  });

  it('is named by its words', () => {
    expect(findConcurrently(`'create  unique index concurrently i'`)).toBe(
      'CREATE UNIQUE INDEX CONCURRENTLY',
    );
    expect(findConcurrently(`'x create index concurrently i'`)).toBe('CREATE INDEX CONCURRENTLY');
  });

  it('is found in the source text of a function, as the runtime has it', () => {
    class Located {
      async up(runner: { query(sql: string): Promise<void> }) {
        await runner.query(`CREATE INDEX CONCURRENTLY "located" ON "t" ("a")`);
      }
    }
    expect(findConcurrently(String(Reflect.get(new Located(), 'up')))).toBe('CREATE INDEX CONCURRENTLY');
  });

  it.each<[string, (size: number) => string]>([
    ['quotes', (size) => `'`.repeat(size)],
    ['strings that are joined', (size) => `'a'+`.repeat(size / 4)],
    ['templates', (size) => '`'.repeat(size)],
    ['templates that do not end', (size) => '`${'.repeat(size / 3)],
    ['expressions that do not end', (size) => '`${a}'.repeat(size / 5)],
    ['braces', (size) => '{'.repeat(size / 2) + '}'.repeat(size / 2)],
    ['slashes', (size) => '/'.repeat(size)],
    ['comments that do not end', (size) => '/* '.repeat(size / 3)],
    ['white space', (size) => `a${' '.repeat(size)}/`],
    ['lines', (size) => 'a\n'.repeat(size / 2)],
    ['plus signs', (size) => `'a'${'+'.repeat(size)}`],
    ['dollar quotes', (size) => `'${Array.from({ length: size / 6 }, (_, at) => `$a${at}$`).join('')}'`],
    ['comments of SQL', (size) => `'${'/*'.repeat(size / 2)}'`],
    ['words', (size) => `'${'create index '.repeat(size / 13)}'`],
    ['options', (size) => 'isConcurrent '.repeat(size / 13)],
    ['options with white space', (size) => `isConcurrent${' '.repeat(size)}`],
  ])('is searched in linear time: %s', (_what, make) => {
    const small = searchTime(make(50_000));
    const large = searchTime(make(200_000));
    expect(large).toBeLessThan(Math.max(small * 16, 250));
  });

  it('is searched in any text without an error', () => {
    const pieces = [
      "'",
      '"',
      '`',
      '${',
      '}',
      '/',
      '*',
      '//',
      '\\',
      '\n',
      '+',
      'a',
      ' ',
      '(',
      'CONCURRENTLY',
      '$$',
      'create index ',
    ];
    let seed = 7;
    const random = (below: number) => (seed = (seed * 48_271) % 2_147_483_647) % below;
    for (let run = 0; run < 3_000; run++) {
      const source = Array.from({ length: random(30) }, () => pieces[random(pieces.length)]).join('');
      expect(() => findConcurrently(`${source} concurrently`)).not.toThrow();
    }
  });
});

describe('the source text', () => {
  it('is separated into code and literals', () => {
    expect(readSource('a(`x ${b + `y`} z`, "c" + \'d\') // e')).toEqual({
      code: 'a({b + " }" , "  + " ) ',
      literals: ['y', 'x   z', 'cd'],
    });
  });
});

function searchTime(source: string): number {
  const startedAt = performance.now();
  findConcurrently(`${source}/* concurrently */'concurrently'`);
  return performance.now() - startedAt;
}
