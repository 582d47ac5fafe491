import { existsSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from '@jest/globals';
import { run } from '../../src/cli/commands.js';
import { createTestDatabase } from '../support/database.js';
import type { TestDatabase } from '../support/database.js';
import { until } from '../support/until.js';
import { MigrationProject } from './migration-project.js';

const TYPESCRIPT = fileURLToPath(new URL('../support/typescript.mjs', import.meta.url));

const ENTITY = `
import { EntitySchema } from 'typeorm';
export const User = new EntitySchema({
  name: 'User',
  tableName: 'users',
  columns: { id: { type: 'int', primary: true, generated: true }, email: { type: String } },
});
`;

const CREATE_USERS = `
export class CreateUsers1716200000000 {
  async up(queryRunner) {
    await queryRunner.query(
      'CREATE TABLE "users" ("id" SERIAL NOT NULL, "email" character varying NOT NULL, CONSTRAINT "PK_a3ffb1c0c8416b9fc6f907b7433" PRIMARY KEY ("id"))',
    );
  }
  async down(queryRunner) {
    await queryRunner.query('DROP TABLE "users"');
  }
}
`;

const CONFIG = `
import { defineConfig } from 'nestjs-database';
import { User } from './user.mjs';
export default defineConfig({ entities: [User], migrations: ['migrations/*.mjs'], synchronize: true });
`;

describe('The migration commands', () => {
  let database: TestDatabase;
  let project: MigrationProject;

  const tables = async () => {
    const rows = await database.sql<{ name: string }>(
      `SELECT table_name AS name FROM information_schema.tables WHERE table_schema = 'public' ORDER BY 1`,
    );
    return rows.map(({ name }) => name);
  };
  const json = <T = Record<string, unknown>>(out: string) => JSON.parse(out) as T;

  beforeAll(async () => {
    database = await createTestDatabase();
    project = new MigrationProject(database.url, 'module');
    project.write('user.mjs', ENTITY);
    project.write('nestjs-database.config.mjs', CONFIG);
    project.write('migrations/1716200000000-create-users.mjs', CREATE_USERS);
  });
  beforeEach(async () => {
    await database.sql('DROP SCHEMA public CASCADE');
    await database.sql('CREATE SCHEMA public AUTHORIZATION app');
  });
  afterAll(async () => {
    await project.remove();
    await database.drop();
  });

  it('run, show, check and revert the migrations of nestjs-database.config.mjs, and never synchronize', async () => {
    const pending = await project.run('migration:check', '--json');
    expect(pending.code).toBe(10);
    expect(json(pending.out)).toMatchObject({
      command: 'migration:check',
      ok: false,
      exitCode: 10,
      pending: ['CreateUsers1716200000000'],
      unknown: [],
      statements: [{ sql: expect.stringMatching(/^CREATE TABLE "users"/), parameters: [] }],
    });
    const planned = await project.run('migration:run', '--dry-run');
    expect(planned).toEqual({
      code: 0,
      out: '↑ CreateUsers1716200000000\n1 migration would run.\n',
      err: '',
    });
    expect(await tables()).not.toContain('users');

    const first = await project.runAlone('migration:run');
    expect(first.out).toMatch(/^✔ ↑ CreateUsers1716200000000 {2}\d+ ms\n1 migration executed\.\n$/);
    expect([first.code, first.err]).toEqual([0, '']);
    const second = await project.run('migration:run', '--json');
    expect(json(second.out)).toEqual({
      command: 'migration:run',
      ok: true,
      exitCode: 0,
      dryRun: false,
      fake: false,
      migrations: [],
      warnings: [],
    });

    const shown = await project.run('migration:show', '--json');
    expect(json(shown.out)).toMatchObject({
      executed: [{ id: 1, name: 'CreateUsers1716200000000', timestamp: 1716200000000 }],
      pending: [],
      unknown: [],
    });
    expect(await project.run('migration:check')).toEqual({
      code: 0,
      out: 'No migration is pending, and the entities agree with the schema.\n',
      err: '',
    });

    const reverted = await project.run('migration:revert');
    expect(reverted.out).toMatch(/^✔ ↓ CreateUsers1716200000000 {2}\d+ ms\n1 migration reverted\.\n$/);
    expect(await tables()).not.toContain('users');
    expect((await project.run('migration:show')).out).toBe(
      '… pending   CreateUsers1716200000000\n0 executed, 1 pending, 0 unknown to the source code.\n',
    );
  });

  it('record a migration with --fake and leave the schema alone', async () => {
    const { out } = await project.run('migration:run', '--fake', '--json');
    expect(json(out)).toMatchObject({
      fake: true,
      migrations: [
        { name: 'CreateUsers1716200000000', transaction: expect.any(Boolean), ms: expect.any(Number) },
      ],
    });
    expect(await tables()).not.toContain('users');
  });

  it('end with exit code 8 and the error of a migration that fails', async () => {
    await database.sql('CREATE TABLE users ()');
    const failed = await project.runAlone('migration:run');
    expect([failed.code, failed.out]).toEqual([8, '']);
    expect(failed.err).toMatch(/^✖ MIGRATION_FAILED: .*CreateUsers1716200000000/);
    const document = await project.run('migration:run', '--json');
    expect(document.code).toBe(8);
    expect(json(document.out)).toMatchObject({
      command: 'migration:run',
      ok: false,
      exitCode: 8,
      error: { code: 'MIGRATION_FAILED', message: expect.any(String), hint: expect.any(String) },
    });
  });

  it('read the variables of --env-file', async () => {
    project.write('database.env', `DB_URL=${database.url}\n`);
    const { code } = await project.runWithoutDatabase('migration:show', '--env-file', 'database.env');
    expect(code).toBe(0);
  });

  it('end with the exit code of a database that cannot be reached', async () => {
    const { code, err } = await project.runWithoutDatabase('migration:show');
    expect([code, err]).toEqual([2, expect.stringContaining('DB_URL')]);
    project.write(
      'unreachable.mjs',
      `export default { url: 'postgres://app:secret@127.0.0.1:1/app', connectRetry: { retries: 0 } };`,
    );
    const refused = await project.run('migration:show', '--config', 'unreachable.mjs');
    expect([refused.code, refused.err]).toEqual([3, expect.stringContaining('CONNECTION_REFUSED')]);
    expect(refused.err).not.toContain('secret');
  });

  it('wait for the migration lock for --lock-timeout, and end with exit code 9', async () => {
    project.write(
      'slow/1716200000000-slow.mjs',
      `export class Slow1716200000000 {
         async up(queryRunner) { await queryRunner.query("SELECT pg_sleep(60) /* slow */"); }
         async down() {}
       }`,
    );
    project.write('slow.config.mjs', `export default { migrations: ['slow/*.mjs'] };`);
    const slow = project.runAlone('migration:run', '--config', 'slow.config.mjs');
    const isSleeping = `SELECT pid FROM pg_stat_activity WHERE query LIKE '%/* slow */' AND datname = current_database() AND pid <> pg_backend_pid()`;
    await until(async () => (await database.sql(isSleeping)).length > 0);
    const locked = await project.run(
      'migration:run',
      '--config',
      'slow.config.mjs',
      '--lock-timeout',
      '500ms',
    );
    expect([locked.code, locked.err]).toEqual([9, expect.stringContaining('MIGRATION_LOCK_TIMEOUT')]);
    expect(locked.out).toMatch(/^… Waiting for the migration lock: another process holds it \(pid \d+/);
    await database.sql(`SELECT pg_cancel_backend(pid) FROM (${isSleeping}) sleeping`);
    expect((await slow).code).toBe(8);
  });

  it('write the SQL of migrations to standard output or a file, without a database', async () => {
    const printed = await project.runWithoutDatabase('migration:sql');
    expect([printed.code, printed.err]).toEqual([0, '']);
    expect(printed.out).toContain('CREATE TABLE "users"');
    const down = ['migration:sql', '--down', '--out', 'down.sql', '--json'];
    const { out } = await project.runWithoutDatabase(...down);
    expect(json(out)).toEqual({ command: 'migration:sql', ok: true, exitCode: 0, file: 'down.sql' });
    expect(project.read('down.sql')).toContain('DROP TABLE "users"');
    const unknown = await project.runWithoutDatabase(
      'migration:sql',
      '--to',
      'Nowhere',
      '--out',
      'unknown.sql',
    );
    expect([unknown.code, unknown.err]).toEqual([8, expect.stringContaining('MIGRATION_UNKNOWN')]);
    expect(existsSync(join(project.folder, 'unknown.sql'))).toBe(false);
  });

  describe('generate', () => {
    const generated = () => {
      const folder = join(project.folder, 'generated');
      return existsSync(folder) ? readdirSync(folder) : [];
    };
    const CONFIG_OF_GENERATED = `
      import { User } from './user.mjs';
      import { EntitySchema } from 'typeorm';
      const columns = { id: { type: 'int', primary: true, generated: true }, email: { type: String, default: 'a\`\${b}\\\\c' } };
      const view = new EntitySchema({ name: 'Names', type: 'view', expression: 'SELECT id FROM users', columns: { id: { type: 'int' } } });
      const user = new EntitySchema({ name: 'User', tableName: 'users', columns });
      export default { entities: [user, view], migrations: ['generated/*.mjs'] };
    `;
    const CHANGED = CONFIG_OF_GENERATED.replace('const view', "columns.email = { type: 'int' }; const view");

    it('writes a formatted file that makes entities and schema agree, asks before it destroys, and says when nothing differs', async () => {
      project.write('generated.config.mjs', CONFIG_OF_GENERATED);
      const config = ['--config', 'generated.config.mjs'];
      const shown = await project.run('migration:generate', 'AddUsers', '--esm', '--dry-run', ...config);
      expect(shown.out).toContain('export class AddUsers');
      expect(generated()).toEqual([]);

      const written = await project.run('migration:generate', 'AddUsers', '--esm', ...config);
      expect(written).toMatchObject({
        code: 0,
        out: expect.stringMatching(/^generated\/\d{13}-add-users\.mjs written, 3 statements\.\n$/),
        err: '',
      });
      const again = await project.run('migration:generate', 'Again', '--esm', ...config);
      expect([again.code, again.err]).toEqual([
        8,
        expect.stringContaining('MIGRATION_PENDING: 1 migration pending'),
      ]);
      expect((await project.run('migration:run', ...config)).code).toBe(0);
      const nothing = await project.run('migration:generate', 'Nothing', '--esm', ...config);
      expect(nothing).toEqual({
        code: 0,
        out: 'The entities and the schema agree: there is nothing to generate.\n',
        err: '',
      });

      // The type of a column changes.
      project.write('changed.config.mjs', CHANGED);
      const changed = ['--config', 'changed.config.mjs', '--esm'];
      const refused = await project.run('migration:generate', 'Destroy', '--json', ...changed);
      expect([refused.code, json(refused.out)]).toEqual([
        11,
        expect.objectContaining({ error: expect.objectContaining({ code: 'MIGRATION_DESTRUCTIVE' }) }),
      ]);
      expect(refused.err).toContain('! Destructive: drops a column: ALTER TABLE "users" DROP COLUMN "email"');
      expect(generated()).toHaveLength(1);
      const allowed = await project.run('migration:generate', 'Destroy', '--allow-destructive', ...changed);
      expect(allowed.code).toBe(0);
      const [, file] = generated().sort();
      expect(project.read(`generated/${file}`)).toContain(
        '    // Destructive: drops a column.\n    await queryRunner.query(`ALTER TABLE "users" DROP COLUMN "email"`);',
      );
      expect(await project.run('migration:run', ...config)).toMatchObject({ code: 0, err: '' });
      expect((await project.run('migration:check', '--config', 'changed.config.mjs')).code).toBe(0);
      for (let count = 0; count < 2; count++)
        expect((await project.run('migration:revert', ...config)).code).toBe(0);
      expect(await tables()).not.toContain('users');
    });
  });

  it('create an empty file in the folder of the migrations, without a database, and overwrite none', async () => {
    const created = await project.runWithoutDatabase('migration:create', 'AddThing', '--esm', '--json');
    const { file, name } = json<{ file: string; name: string }>(created.out);
    expect(file).toMatch(/^migrations\/\d{13}-add-thing\.mjs$/);
    expect(project.read(file)).toContain(`export class ${name}`);
    const typed = await project.runWithoutDatabase('migration:create', 'add-thing', '--dir', 'typed');
    const [, path] = /^(typed\/\d{13}-add-thing\.ts) written\.\n$/.exec(typed.out)!;
    expect(project.read(path!)).toMatch(
      /^import type \{ MigrationInterface, QueryRunner \} from 'typeorm';\n\nexport class AddThing\d{13} implements MigrationInterface \{\n/,
    );
    expect(
      (await project.runWithoutDatabase('migration:create', 'AddThing', '--dir', 'package.json')).code,
    ).toBe(7);
  });

  it('load a configuration in TypeScript by the loader of the app, and name a loader when there is none', async () => {
    project.write(
      'typed/user.entity.ts',
      `import { Column, Entity, PrimaryGeneratedColumn } from 'typeorm';
       @Entity('users') export class User {
         @PrimaryGeneratedColumn() id!: number;
         @Column() private readonly email!: string;
       }`,
    );
    project.write(
      'typed/database.config.ts',
      `import { defineConfig } from 'nestjs-database';
       import { User } from './user.entity.js';
       export default async () => defineConfig({ entities: [User], migrations: ['migrations/1716200000000-*.mjs'] });`,
    );
    const config = ['--config', 'typed/database.config.ts'];
    const without = await project.runAlone('migration:run', ...config);
    expect([without.code, without.err]).toEqual([7, expect.stringContaining('--import tsx')]);
    expect((await project.runAlone('migration:run', ...config, '--import', TYPESCRIPT)).code).toBe(0);
    expect((await project.runAlone('migration:check', ...config, '--loader', TYPESCRIPT)).code).toBe(0);
  });

  it('take a data source from a file, and refuse one that createDataSource() has not created', async () => {
    project.write(
      'data-source.mjs',
      `import { createDataSource } from 'nestjs-database';
       import { User } from './user.mjs';
       export const dataSource = Promise.resolve(createDataSource({ entities: [User], migrations: ['migrations/1716200000000-*.mjs'] }));`,
    );
    expect((await project.run('migration:run', '-d', 'data-source.mjs')).code).toBe(0);
    expect(await tables()).toContain('users');
    project.write(
      'foreign.mjs',
      `import { DataSource } from 'typeorm';
       export default new DataSource({ type: 'postgres', url: 'postgres://app:secret@127.0.0.1:1/app' });`,
    );
    const [foreign, missing] = await Promise.all([
      project.run('migration:run', '-d', 'foreign.mjs'),
      project.run('migration:run', '-d', 'nowhere.mjs'),
    ]);
    expect([foreign.code, foreign.err]).toEqual([7, expect.stringContaining('createDataSource()')]);
    expect(missing).toEqual({ code: 7, out: '', err: 'The file nowhere.mjs does not exist.\n' });
  });

  it('list the commands and the options, and name what is probably meant', async () => {
    const print = async (...args: string[]) => {
      const printed = { out: '', err: '' };
      const code = await run(
        args,
        { write: (text) => (printed.out += text) },
        { write: (text) => (printed.err += text) },
      );
      return { code, ...printed };
    };
    expect((await print('help')).out).toContain('migration:generate NAME');
    expect((await print('migration:run', '--help')).out).toContain('--lock-timeout TIME');
    expect((await print('help', 'migration:sql')).out).toContain('--shadow URL');
    const near = { code: 1, out: '', err: expect.stringContaining('did you mean migration:run?') };
    expect(await print('migration:rnu')).toEqual(near);
    expect(await print('run')).toEqual(near);
    const url = 'postgres://app:secret@127.0.0.1/app';
    for (const args of [
      [url],
      ['migration:run', url],
      ['migration:run', `--${url}`],
      ['migration:run', '--module', url],
      ['migration:run', '--module', 'a.js', '--config', 'b.js'],
    ]) {
      const { code, out, err } = await print(...args);
      expect([code, out]).toEqual([1, '']);
      expect(err).not.toContain('secret');
    }
    for (const args of [
      ['migration:run', '--nope'],
      ['migration:rnu'],
      ['migration:run', '--json'],
      ['migration:create', 'doctor', 'too', 'many'],
    ]) {
      const { code, out, err } = await print(...args, '--json');
      expect([code, err]).toEqual([1, '']);
      expect(json(out)).toEqual({
        command: args[0] === 'migration:rnu' ? null : args[0],
        ok: false,
        exitCode: 1,
        error: expect.objectContaining({ code: null, message: expect.any(String) }),
      });
    }
  });
});

describe('The program', () => {
  let database: TestDatabase;
  let project: MigrationProject;

  const migration = (timestamp: number, body: string) =>
    `export class M${timestamp} { async up(queryRunner) { ${body} } async down() {} }`;

  beforeAll(async () => {
    database = await createTestDatabase();
    project = new MigrationProject(database.url, 'module');
  });
  afterAll(async () => {
    await project.remove();
    await database.drop();
  });

  it('leaves standard output to the results, whatever the code of the app prints', async () => {
    project.write('talkative.mjs', `console.log('Hello'); export default { migrations: ['nowhere/*.mjs'] };`);
    const { code, out, err } = await project.runAlone(
      'migration:show',
      '--config',
      'talkative.mjs',
      '--json',
    );
    expect([code, err]).toEqual([0, 'Hello\n! The patterns of migrations find none: nowhere/*.mjs\n']);
    expect(JSON.parse(out)).toMatchObject({ ok: true });
  });

  it.each([
    ['process.exit(0)', 'has called process.exit()'],
    ['await new Promise(() => undefined)', 'waits for something that never happens'],
    [
      `Promise.reject(new Error('cannot reach redis://app:secret@cache/0')); setInterval(() => undefined, 1_000); await new Promise(() => undefined)`,
      'cannot reach redis://***@cache/0',
    ],
  ])('reports that the app has ended it: %s', async (ending, message) => {
    project.write('ending.mjs', `${ending}; export default {};`);
    const { code, out } = await project.runAlone('migration:show', '--config', 'ending.mjs', '--json');
    expect(code).toBe(1);
    expect(JSON.parse(out)).toMatchObject({
      exitCode: 1,
      error: { message: expect.stringContaining(message) },
    });
  });

  it('goes on when nothing reads its output any more', async () => {
    const create = (table: string) => `await queryRunner.query('CREATE TABLE ${table} ()')`;
    project.write('pipe/1.mjs', migration(1716200000001, create('first')));
    project.write('pipe/2.mjs', migration(1716200000002, create('second')));
    project.write('pipe.mjs', `export default { migrations: ['pipe/*.mjs'] };`);
    const { child, finished } = project.start('migration:run', '--config', 'pipe.mjs');
    child.stdout?.destroy();
    expect(await finished).toMatchObject({ code: 0, err: '' });
    expect(
      await database.sql(
        `SELECT to_regclass('first') IS NOT NULL AND to_regclass('second') IS NOT NULL AS done`,
      ),
    ).toEqual([{ done: true }]);
  });

  it('ends by a signal with its exit code and releases the migration lock', async () => {
    project.write('slow/1.mjs', migration(1716200000003, `await queryRunner.query('SELECT pg_sleep(60)')`));
    project.write('slow.mjs', `export default { migrations: ['slow/*.mjs'] };`);
    const { child, finished } = project.start('migration:run', '--config', 'slow.mjs', '--json');
    const sessions = `SELECT FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()`;
    await until(async () => (await database.sql(`${sessions} AND query LIKE '%pg_sleep%'`)).length > 0);
    child.kill('SIGTERM');
    const { code, out } = await finished;
    expect(code).toBe(143);
    expect(JSON.parse(out)).toMatchObject({ exitCode: 143, error: { message: 'Interrupted by SIGTERM.' } });
    await until(async () => (await database.sql(sessions)).length === 0);
  });
});

describe('The data source of --module', () => {
  let database: TestDatabase;
  const projects: MigrationProject[] = [];

  beforeAll(async () => {
    database = await createTestDatabase();
  });
  afterAll(async () => {
    for (const project of projects) await project.remove();
    await database.drop();
  });

  /** An app whose hooks fail, with a provider that keeps the process alive. */
  const APP = `
    class SettingsModule {}
    Module({ providers: [{ provide: 'SETTINGS', useFactory: async () => ({ autoLoadEntities: true, migrations: ['migrations/*.*js'] }) }], exports: ['SETTINGS'] })(SettingsModule);
    class AppModule { onModuleInit() { throw new Error('a hook of the module ran'); } }
    Module({
      imports: [
        DatabaseModule.forRootAsync({
          imports: [SettingsModule],
          inject: ['SETTINGS'],
          useFactory: (settings) => ({ ...settings, url: process.env.DB_URL }),
        }),
        DatabaseModule.forRoot({ name: 'reports', url: process.env.DB_URL }),
        DatabaseModule.forFeature([User]),
      ],
      providers: [
        { provide: 'ALIVE', useFactory: () => setInterval(() => undefined, 1_000) },
        { provide: 'HOOKS', useFactory: () => ({ onModuleInit() { throw new Error('a hook ran'); } }) },
      ],
    })(AppModule);
    class EmptyModule { onModuleInit() { throw new Error('a hook of the module ran'); } }
    Module({})(EmptyModule);
  `;

  it.each([
    ['ESM', 'module', 'import', 'mjs'],
    ['CommonJS', 'commonjs', 'require', 'js'],
  ] as const)(
    'is that of the app in %s, which neither listens nor runs a hook',
    async (_name, type, style, extension) => {
      await database.sql('DROP SCHEMA public CASCADE');
      await database.sql('CREATE SCHEMA public AUTHORIZATION app');
      const project = new MigrationProject(database.url, type);
      projects.push(project);
      const isEsm = style === 'import';
      const load = (names: string, from: string) =>
        isEsm ? `import ${names} from '${from}';\n` : `const ${names} = require('${from}');\n`;
      const header =
        (isEsm ? "import 'reflect-metadata';\n" : "require('reflect-metadata');\n") +
        load('{ Module }', '@nestjs/common') +
        load('{ DatabaseModule }', 'nestjs-database') +
        load('{ EntitySchema }', 'typeorm');
      const entity = `const User = new EntitySchema({ name: 'User', tableName: 'users', columns: { id: { type: 'int', primary: true }, email: { type: String } } });\n`;
      const footer = isEsm
        ? 'export { AppModule, EmptyModule };'
        : 'module.exports = { AppModule, EmptyModule };';
      project.write(`dist/app.module.${extension}`, header + entity + APP + footer);
      const module = ['--module', `dist/app.module.${extension}#AppModule`];

      const generated = await project.run(
        'migration:generate',
        'AddUsers',
        '--dir',
        'migrations',
        '--js',
        ...module,
      );
      expect(generated).toMatchObject({ code: 0, err: '' });
      const executed = await project.runAlone('migration:run', ...module);
      expect(executed).toMatchObject({ code: 0, err: '' });
      expect(executed.out).toMatch(/^✔ ↑ AddUsers\d{13} {2}/);
      expect(await project.run('migration:check', ...module)).toMatchObject({ code: 0, err: '' });
      const reports = await project.run('migration:show', ...module, '--name', 'reports', '--json');
      expect(JSON.parse(reports.out)).toMatchObject({
        executed: [expect.anything()],
        pending: [],
        unknown: [expect.anything()],
      });

      const [other, empty] = await Promise.all([
        project.run('migration:show', ...module, '--name', 'report'),
        project.run('migration:show', '--module', `dist/app.module.${extension}#EmptyModule`),
      ]);
      expect([other.code, other.err]).toEqual([1, expect.stringContaining('it has "default", "reports"')]);
      expect([empty.code, empty.err]).toEqual([1, expect.stringContaining('imports no DatabaseModule')]);
    },
  );
});

describe('The command line of TypeORM with a data source of createDataSource()', () => {
  let database: TestDatabase;
  let project: MigrationProject;

  beforeAll(async () => {
    database = await createTestDatabase();
    project = new MigrationProject(database.url, 'module');
    project.write('user.mjs', ENTITY);
    project.write('migrations/1716200000000-create-users.mjs', CREATE_USERS);
    project.write(
      'data-source.mjs',
      `import { createDataSource } from 'nestjs-database';
       import { User } from './user.mjs';
       const silent = () => undefined;
       const logger = { log: silent, logQuery: silent, logQueryError: silent, logQuerySlow: silent, logSchemaBuild: silent, logMigration: silent };
       export default createDataSource({ entities: [User], migrations: ['migrations/*.mjs'], ...(process.env.OWN_LOGGER === '1' && { logger }) });`,
    );
  });
  afterAll(async () => {
    await project.remove();
    await database.drop();
  });

  it('logs, generates, runs, shows and reverts as with its own data source', async () => {
    const source = ['-d', 'data-source.mjs'];
    const [differing, generated, pending] = await Promise.all([
      project.typeorm('schema:log', ...source),
      project.typeorm('migration:generate', 'other/AddUsers', '--outputJs', ...source),
      project.typeorm('migration:show', ...source),
    ]);
    expect(differing.out).toContain('CREATE TABLE "users"');
    expect(generated.code).toBe(0);
    expect(pending.out).toContain('[ ] CreateUsers1716200000000');
    expect(await project.typeorm('migration:run', ...source)).toMatchObject({ code: 0 });
    const [executed, agreeing] = await Promise.all([
      project.typeorm('migration:show', ...source),
      project.typeorm('schema:log', ...source),
    ]);
    expect(executed.out).toMatch(/\[X\] \d+ CreateUsers1716200000000/);
    expect(agreeing.out).toContain('up to date');
    expect((await project.typeorm('migration:revert', ...source)).code).toBe(0);
    expect(await database.sql(`SELECT to_regclass('users') AS found`)).toEqual([{ found: null }]);
    // The command line sets `logging`, which has no effect on a logger of the app.
    project.write(
      'own-logger.mjs',
      `process.env.OWN_LOGGER = '1';
       export default (await import('./data-source.mjs')).default;`,
    );
    expect(await project.typeorm('migration:run', '-d', 'own-logger.mjs')).toMatchObject({ code: 0 });
  });
});
