import {
  EntitySchema,
  Table,
  TableCheck,
  TableColumn,
  TableExclusion,
  TableForeignKey,
  TableIndex,
  TableUnique,
  View,
} from 'typeorm';
import type { MigrationInterface, QueryRunner } from 'typeorm';

/**
 * Twenty migrations that use each kind of statement that TypeORM's builder has, and what migrations send as SQL. They run with TypeORM
 * 0.3 and 1.
 */

/** An entity with a generated column, for which TypeORM creates its table of metadata. */
export const Person = new EntitySchema<{ id: number; full: string }>({
  name: 'person',
  columns: {
    id: { type: 'int', primary: true },
    full: { type: 'text', generatedType: 'STORED', asExpression: `'x'` },
  },
});

/** A text with everything that a quoting could get wrong. */
export const AWKWARD = `O'Reilly \\ back\\'slash "quoted" $1 :name :'x' \\! false
-- no comment /* none */ $tag$ ; E'\\n' ü 漢 🦜\ttab`;

export class Extension1700000000001 implements MigrationInterface {
  async up(runner: QueryRunner): Promise<void> {
    await runner.query('CREATE EXTENSION citext');
    await runner.createSchema('audit', true);
  }
  async down(runner: QueryRunner): Promise<void> {
    await runner.dropSchema('audit', true, true);
    await runner.query('DROP EXTENSION citext');
  }
}

export class Users1700000000002 implements MigrationInterface {
  async up(runner: QueryRunner): Promise<void> {
    await runner.createTable(
      new Table({
        name: 'users',
        // TypeORM 0.3 does not quote the comment of a table.
        comment: 'The "users" of the app',
        columns: [
          { name: 'id', type: 'int', isPrimary: true, isGenerated: true, generationStrategy: 'increment' },
          { name: 'email', type: 'citext', isUnique: true, comment: `It's "the" address` },
          { name: 'first', type: 'varchar', length: '40', default: `'O''Neil'` },
          { name: 'last', type: 'text', isNullable: true },
          { name: 'role', type: 'enum', enum: ['admin', "guest's", 'user'], default: `'user'` },
          { name: 'tags', type: 'text', isArray: true, default: `'{}'` },
          { name: 'score', type: 'numeric', precision: 10, scale: 2, default: 0 },
          { name: 'born', type: 'timestamp with time zone', isNullable: true },
          {
            name: 'full_name',
            type: 'text',
            generatedType: 'STORED',
            asExpression: `first || ' ' || coalesce(last, '')`,
            isNullable: true,
          },
        ],
        checks: [{ name: 'positive_score', expression: '"score" >= 0' }],
        indices: [
          { name: 'users_last', columnNames: ['last'], where: '"last" IS NOT NULL' },
          { name: 'users_name', columnNames: ['first', 'last'], isUnique: true },
        ],
      }),
    );
  }
  async down(runner: QueryRunner): Promise<void> {
    await runner.dropTable('users');
  }
}

export class Posts1700000000003 implements MigrationInterface {
  async up(runner: QueryRunner): Promise<void> {
    await runner.createTable(
      new Table({
        name: 'posts',
        columns: [
          {
            name: 'id',
            type: 'bigint',
            isPrimary: true,
            isGenerated: true,
            generationStrategy: 'identity',
            generatedIdentity: 'ALWAYS',
          },
          { name: 'author', type: 'int' },
          { name: 'body', type: 'jsonb', default: `'{"a": 1}'` },
          { name: 'during', type: 'tsrange', isNullable: true },
          { name: 'slug', type: 'text' },
        ],
        foreignKeys: [
          {
            name: 'posts_author',
            columnNames: ['author'],
            referencedTableName: 'users',
            referencedColumnNames: ['id'],
            onDelete: 'CASCADE',
            deferrable: 'INITIALLY DEFERRED',
          },
        ],
        exclusions: [{ name: 'posts_during', expression: 'USING gist ("during" WITH &&)' }],
        uniques: [{ name: 'posts_slug', columnNames: ['slug'] }],
      }),
      true,
    );
    await runner.createTable(
      new Table({
        name: 'audit.log',
        columns: [
          { name: 'kind', type: 'enum', enum: ['in', 'out'], isPrimary: true },
          { name: 'at', type: 'date', isPrimary: true },
        ],
      }),
    );
  }
  async down(runner: QueryRunner): Promise<void> {
    await runner.dropTable('audit.log');
    await runner.dropTable('posts', true);
  }
}

export class AddColumns1700000000004 implements MigrationInterface {
  async up(runner: QueryRunner): Promise<void> {
    await runner.addColumn('users', new TableColumn({ name: 'age', type: 'int', isNullable: true }));
    await runner.addColumns('posts', [
      new TableColumn({ name: 'kind', type: 'enum', enum: ['note', 'page'], default: `'note'` }),
      new TableColumn({ name: 'weights', type: 'real', isArray: true, isNullable: true, comment: 'kg' }),
      new TableColumn({ name: 'token', type: 'text', default: 'gen_random_uuid()::text', isNullable: true }),
      new TableColumn({
        name: 'length',
        type: 'int',
        generatedType: 'STORED',
        asExpression: 'length(slug)',
        isNullable: true,
      }),
    ]);
  }
  async down(runner: QueryRunner): Promise<void> {
    await runner.dropColumns('posts', ['length', 'token', 'weights', 'kind']);
    await runner.dropColumn('users', 'age');
  }
}

export class ChangeColumns1700000000005 implements MigrationInterface {
  async up(runner: QueryRunner): Promise<void> {
    const users = await runner.getTable('users');
    const first = users?.findColumnByName('first');
    if (!first) throw new Error('users.first is missing');
    const changed = first.clone();
    changed.isNullable = true;
    changed.default = `'nobody'`;
    changed.comment = 'The given name';
    await runner.changeColumn('users', first, changed);
    await runner.changeColumn(
      'users',
      'role',
      new TableColumn({
        name: 'role',
        type: 'enum',
        enum: ['admin', "guest's", 'user', 'robot'],
        default: `'user'`,
      }),
    );
    await runner.changeColumn(
      'users',
      'age',
      new TableColumn({ name: 'age', type: 'smallint', isNullable: true }),
    );
  }
  async down(runner: QueryRunner): Promise<void> {
    await runner.changeColumn(
      'users',
      'age',
      new TableColumn({ name: 'age', type: 'int', isNullable: true }),
    );
    await runner.changeColumn(
      'users',
      'role',
      new TableColumn({ name: 'role', type: 'enum', enum: ['admin', "guest's", 'user'], default: `'user'` }),
    );
    await runner.changeColumn(
      'users',
      'first',
      new TableColumn({ name: 'first', type: 'character varying', length: '40', default: `'O''Neil'` }),
    );
  }
}

export class Rename1700000000006 implements MigrationInterface {
  async up(runner: QueryRunner): Promise<void> {
    await runner.renameColumn('posts', 'slug', 'path');
    await runner.renameTable('posts', 'articles');
  }
  async down(runner: QueryRunner): Promise<void> {
    await runner.renameTable('articles', 'posts');
    await runner.renameColumn('posts', 'path', 'slug');
  }
}

export class Constraints1700000000007 implements MigrationInterface {
  async up(runner: QueryRunner): Promise<void> {
    await runner.createUniqueConstraint(
      'users',
      new TableUnique({ name: 'users_age_email', columnNames: ['age', 'email'] }),
    );
    await runner.createCheckConstraint(
      'users',
      new TableCheck({ name: 'adult', expression: `"age" > 17 OR "role" = 'robot'` }),
    );
    await runner.createExclusionConstraint(
      'articles',
      new TableExclusion({ name: 'articles_during', expression: 'USING gist ("during" WITH &&)' }),
    );
    await runner.addColumn('articles', new TableColumn({ name: 'editor', type: 'int', isNullable: true }));
    await runner.createForeignKey(
      'articles',
      new TableForeignKey({
        name: 'articles_editor',
        columnNames: ['editor'],
        referencedTableName: 'users',
        referencedColumnNames: ['id'],
        onDelete: 'SET NULL',
      }),
    );
  }
  async down(runner: QueryRunner): Promise<void> {
    await runner.dropForeignKey('articles', 'articles_editor');
    await runner.dropColumn('articles', 'editor');
    await runner.dropExclusionConstraint('articles', 'articles_during');
    await runner.dropCheckConstraint('users', 'adult');
    await runner.dropUniqueConstraint('users', 'users_age_email');
  }
}

export class Indices1700000000008 implements MigrationInterface {
  async up(runner: QueryRunner): Promise<void> {
    await runner.createIndex(
      'articles',
      new TableIndex({ name: 'articles_kind', columnNames: ['kind'], where: `"kind" = 'note'` }),
    );
    await runner.createIndices('users', [
      new TableIndex({ name: 'users_role', columnNames: ['role', 'score'] }),
      new TableIndex({ name: 'users_born', columnNames: ['born'], isUnique: true }),
    ]);
    await runner.query('CREATE INDEX users_lower ON users (lower(first)) INCLUDE (last)');
  }
  async down(runner: QueryRunner): Promise<void> {
    await runner.query('DROP INDEX users_lower;');
    await runner.dropIndices('users', [
      new TableIndex({ name: 'users_role', columnNames: ['role', 'score'] }),
      new TableIndex({ name: 'users_born', columnNames: ['born'], isUnique: true }),
    ]);
    await runner.dropIndex('articles', 'articles_kind');
  }
}

export class Concurrently1700000000009 implements MigrationInterface {
  readonly transaction = false as const;

  async up(runner: QueryRunner): Promise<void> {
    await runner.query('CREATE INDEX CONCURRENTLY users_score ON users (score)');
    await runner.query('CREATE TABLE one (a int); CREATE TABLE two (b int) -- without an end');
  }
  async down(runner: QueryRunner): Promise<void> {
    await runner.query('DROP TABLE one; DROP TABLE two;');
    await runner.query('DROP INDEX users_score');
  }
}

/** Methods that TypeORM's runner of PostgreSQL has, and its interface has not. */
interface ViewRunner {
  createViewIndex(view: string, index: TableIndex): Promise<void>;
  createViewIndices(view: string, indices: TableIndex[]): Promise<void>;
  dropViewIndex(view: string, index: string): Promise<void>;
}
const forViews = (runner: QueryRunner) => runner as unknown as ViewRunner;

const adults = () =>
  new View({ name: 'adults', expression: `SELECT id, email, '::' AS sign FROM users WHERE age > 17` });
const totals = () =>
  new View({
    name: 'totals',
    expression: 'SELECT author, count(*) AS articles FROM articles GROUP BY author',
    materialized: true,
  });

export class Views1700000000010 implements MigrationInterface {
  async up(runner: QueryRunner): Promise<void> {
    await runner.createView(adults(), true);
    await runner.createView(totals(), true);
    await forViews(runner).createViewIndex(
      'totals',
      new TableIndex({ name: 'totals_author', columnNames: ['author'] }),
    );
  }
  async down(runner: QueryRunner): Promise<void> {
    await forViews(runner).dropViewIndex('totals', 'totals_author');
    await runner.dropView('totals');
    await runner.dropView('adults');
  }
}

export class Functions1700000000011 implements MigrationInterface {
  async up(runner: QueryRunner): Promise<void> {
    await runner.query(`
      CREATE FUNCTION touch() RETURNS trigger LANGUAGE plpgsql AS $body$
      BEGIN
        -- $1 and :name; \\! stay as they are
        NEW.score := NEW.score + 1; /* ' */
        RETURN NEW;
      END;
      $body$;
      CREATE TRIGGER touched BEFORE UPDATE ON users FOR EACH ROW EXECUTE FUNCTION touch(); -- the end`);
    await runner.query(
      `CREATE FUNCTION slice(list int[], n int) RETURNS int[] LANGUAGE sql IMMUTABLE BEGIN ATOMIC SELECT list[1:n]; SELECT list[n:2]; END`,
    );
    // As the output of pg_dump begins.
    await runner.query(`SELECT pg_catalog.set_config('search_path', '', false)`);
  }
  async down(runner: QueryRunner): Promise<void> {
    await runner.query('DROP FUNCTION slice; DROP TRIGGER touched ON users');
    await runner.query('DROP FUNCTION touch()');
  }
}

export class Data1700000000012 implements MigrationInterface {
  async up(runner: QueryRunner): Promise<void> {
    await runner.query(
      'CREATE TABLE things (id int, text text, list text[], doc jsonb, at timestamptz, bin bytea, flag boolean, big bigint, num numeric)',
    );
    await runner.query('INSERT INTO things VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)', [
      1,
      AWKWARD,
      [AWKWARD, null, ''],
      { key: AWKWARD, none: null },
      new Date('2024-02-29T12:34:56.789Z'),
      Buffer.from([0, 39, 92, 255]),
      true,
      9007199254740993n,
      -1.5e-7,
    ]);
    await runner.query('INSERT INTO things (id, text, num) VALUES ($1, $2, $3)', [2, undefined, NaN]);
    await runner.query('UPDATE things SET num = - $1::numeric-$2 WHERE id IN ($3, $3)', [-3, -4, 2]);
    await runner.query(
      `INSERT INTO users (email, first, last, age) VALUES ('a@b.c', 'A', $1, 30), ('D@e.f', 'D', $2, 40)`,
      ["O'X", '\\'],
    );
    await runner.query(`INSERT INTO articles (author, path) SELECT id, 'p' || id || $1 FROM users`, [
      ':name',
    ]);
    await runner.query(`UPDATE users SET tags = ARRAY[$1, 'b', 'c']`, ['a']);
    await runner.query('UPDATE users SET tags = tags[1:array_length(tags, 1)]');
  }
  async down(runner: QueryRunner): Promise<void> {
    await runner.query('DELETE FROM articles WHERE path LIKE $1', ['p%']);
    await runner.query('DELETE FROM users');
    await runner.query('DROP TABLE things');
  }
}

export class DropColumns1700000000013 implements MigrationInterface {
  async up(runner: QueryRunner): Promise<void> {
    await runner.dropColumn('articles', 'kind');
    await runner.dropColumns('articles', ['token', 'length']);
  }
  async down(runner: QueryRunner): Promise<void> {
    await runner.addColumns('articles', [
      new TableColumn({ name: 'kind', type: 'enum', enum: ['note', 'page'], default: `'note'` }),
      new TableColumn({ name: 'token', type: 'text', isNullable: true }),
      new TableColumn({
        name: 'length',
        type: 'int',
        generatedType: 'STORED',
        asExpression: 'length(path)',
        isNullable: true,
      }),
    ]);
    await runner.createIndex(
      'articles',
      new TableIndex({ name: 'articles_kind', columnNames: ['kind'], where: `"kind" = 'note'` }),
    );
  }
}

export class PrimaryKeys1700000000014 implements MigrationInterface {
  async up(runner: QueryRunner): Promise<void> {
    await runner.query('CREATE TABLE pair (a int NOT NULL, b int NOT NULL, c int NOT NULL)');
    await runner.createPrimaryKey('pair', ['a']);
    const pair = await runner.getTable('pair');
    await runner.updatePrimaryKeys(
      'pair',
      pair!.columns.filter(({ name }) => name !== 'c'),
    );
    await runner.dropPrimaryKey('pair');
    await runner.createPrimaryKey('pair', ['b', 'c']);
  }
  async down(runner: QueryRunner): Promise<void> {
    await runner.dropPrimaryKey('pair');
    await runner.dropTable('pair');
  }
}

export class Sequences1700000000015 implements MigrationInterface {
  async up(runner: QueryRunner): Promise<void> {
    await runner.query(`CREATE SEQUENCE numbers INCREMENT 5; SELECT setval('numbers', 100)`);
    await runner.query(`SELECT nextval('numbers');`);
    await runner.query(`ALTER TABLE users ALTER COLUMN score SET DEFAULT nextval('numbers')`);
  }
  async down(runner: QueryRunner): Promise<void> {
    await runner.query('ALTER TABLE users ALTER COLUMN score SET DEFAULT 0');
    await runner.query('DROP SEQUENCE numbers');
  }
}

export class DropConstraints1700000000016 implements MigrationInterface {
  async up(runner: QueryRunner): Promise<void> {
    await runner.dropUniqueConstraint('users', 'users_age_email');
    await runner.dropCheckConstraint('users', 'adult');
    await runner.dropExclusionConstraint('articles', 'articles_during');
    await runner.dropForeignKey('articles', 'articles_editor');
    await runner.dropIndex('users', 'users_born');
  }
  async down(runner: QueryRunner): Promise<void> {
    await runner.createIndex(
      'users',
      new TableIndex({ name: 'users_born', columnNames: ['born'], isUnique: true }),
    );
    await runner.createForeignKeys('articles', [
      new TableForeignKey({
        name: 'articles_editor',
        columnNames: ['editor'],
        referencedTableName: 'users',
        referencedColumnNames: ['id'],
        onDelete: 'SET NULL',
      }),
    ]);
    await runner.createExclusionConstraints('articles', [
      new TableExclusion({ name: 'articles_during', expression: 'USING gist ("during" WITH &&)' }),
    ]);
    await runner.createCheckConstraints('users', [
      new TableCheck({ name: 'adult', expression: `"age" > 17 OR "role" = 'robot'` }),
    ]);
    await runner.createUniqueConstraints('users', [
      new TableUnique({ name: 'users_age_email', columnNames: ['age', 'email'] }),
    ]);
  }
}

export class DropViews1700000000017 implements MigrationInterface {
  async up(runner: QueryRunner): Promise<void> {
    await runner.dropView('totals');
    await runner.dropView('adults', true);
  }
  async down(runner: QueryRunner): Promise<void> {
    await runner.createView(adults(), true);
    await runner.createView(totals(), true);
    await forViews(runner).createViewIndices('totals', [
      new TableIndex({ name: 'totals_author', columnNames: ['author'] }),
    ]);
  }
}

export class Savepoints1700000000018 implements MigrationInterface {
  async up(runner: QueryRunner): Promise<void> {
    await runner.startTransaction();
    await runner.query('CREATE TABLE kept (a int)');
    await runner.commitTransaction();
    await runner.startTransaction();
    await runner.query('CREATE TABLE lost (a int)');
    await runner.rollbackTransaction();
    await runner.query('LOCK TABLE kept IN ACCESS EXCLUSIVE MODE');
    await runner.query('SET LOCAL work_mem = 8192');
    await runner.query('DO $$ BEGIN PERFORM 1; END $$');
    if (await runner.hasTable('lost')) throw new Error('lost was not rolled back');
    if (!(await runner.hasColumn('kept', 'a'))) throw new Error('kept has no column');
    const [{ found }] = await runner.query(`SELECT to_regclass('kept') IS NOT NULL AS found`);
    if (!found) throw new Error('kept was not found');
  }
  async down(runner: QueryRunner): Promise<void> {
    await runner.manager.transaction((manager) => manager.query('DROP TABLE kept'));
  }
}

export class QueryBuilders1700000000019 implements MigrationInterface {
  async up(runner: QueryRunner): Promise<void> {
    const { manager } = runner;
    await manager.query('CREATE TABLE pets (id int PRIMARY KEY, name text, legs int DEFAULT 4)');
    await manager
      .createQueryBuilder()
      .insert()
      .into('pets', ['id', 'name'])
      .values([
        { id: 1, name: AWKWARD },
        { id: 2, name: 'Tom' },
        { id: 3, name: 'Rex' },
      ])
      .execute();
    await manager
      .createQueryBuilder()
      .update('pets')
      .set({ name: () => `name || '!'`, legs: 3 })
      .where('id = :id', { id: 2 })
      .execute();
    await manager
      .createQueryBuilder()
      .delete()
      .from('pets')
      .where('name LIKE :name', { name: 'R%' })
      .execute();
    await manager.query('UPDATE pets SET legs = $1 WHERE id = $2', [5, 1]);
  }
  async down(runner: QueryRunner): Promise<void> {
    await runner.clearTable('pets');
    await runner.dropTable('pets', true);
  }
}

export class Comments1700000000020 implements MigrationInterface {
  async up(runner: QueryRunner): Promise<void> {
    await runner.changeTableComment('users', 'No longer "the" users');
    await runner.query(`COMMENT ON FUNCTION touch() IS 'adds one'`);
    await runner.query(`GRANT SELECT ON users TO PUBLIC`);
    await runner.query('-- nothing but a comment');
  }
  async down(runner: QueryRunner): Promise<void> {
    await runner.query(`REVOKE SELECT ON users FROM PUBLIC`);
    await runner.query('COMMENT ON FUNCTION touch() IS NULL');
    await runner.changeTableComment('users', 'The "users" of the app');
  }
}

export const TWENTY_MIGRATIONS = [
  Extension1700000000001,
  Users1700000000002,
  Posts1700000000003,
  AddColumns1700000000004,
  ChangeColumns1700000000005,
  Rename1700000000006,
  Constraints1700000000007,
  Indices1700000000008,
  Concurrently1700000000009,
  Views1700000000010,
  Functions1700000000011,
  Data1700000000012,
  DropColumns1700000000013,
  PrimaryKeys1700000000014,
  Sequences1700000000015,
  DropConstraints1700000000016,
  DropViews1700000000017,
  Savepoints1700000000018,
  QueryBuilders1700000000019,
  Comments1700000000020,
];
