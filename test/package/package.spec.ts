import { readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { createTestDatabase } from '../support/database.js';
import type { TestDatabase } from '../support/database.js';
import { Consumer } from './consumer.js';
import { itFollowsTheReadme } from './quick-start.js';

const body = `
async function main({ NestFactory }, { DataSource }, { DatabaseModule, DatabaseMonitor }) {
  class AppModule {}
  const app = await NestFactory.createApplicationContext(
    { module: AppModule, imports: [DatabaseModule.forRoot()] },
    { logger: false },
  );
  const rows = await app.get(DataSource).query('SELECT current_database() AS name');
  await app.close();
  console.log(JSON.stringify({ rows, monitor: typeof DatabaseMonitor }));
}
`;

describe('The packed package', () => {
  let consumer: Consumer;
  let database: TestDatabase;

  beforeAll(async () => {
    consumer = await Consumer.create(['@nestjs/platform-express', 'typescript']);
    database = await createTestDatabase();
  }, 120_000);

  afterAll(async () => {
    await consumer?.remove();
    await database?.drop();
  });

  it('contains the builds and their types, and no test, example or source', () => {
    const unexpected = consumer.files.filter(
      (file) =>
        !/^dist\/(esm|cjs)\/[\w./-]+\.(js|d\.ts|js\.map)$/.test(file) &&
        !/^docs\/([\w-]+\.md|images\/[\w-]+\.svg)$/.test(file) &&
        ![
          'dist/cjs/package.json',
          'package.json',
          'LICENSE',
          'README.md',
          'CHANGELOG.md',
          '.env.example',
        ].includes(file),
    );
    expect(unexpected).toEqual([]);
    expect(consumer.files.filter((file) => /spec|(^|\/)(test|example|bench)\//.test(file))).toEqual([]);
    // Few files for each entry point, with the types of each source beside them. The program is only available as ESM.
    const filesOf = (build: string, end: string) =>
      consumer.files
        .filter((file) => file.startsWith(`dist/${build}/`) && file.endsWith(end))
        .map((file) => file.slice(`dist/${build}/`.length));
    const entries = ['index.js', 'pool/index.js'];
    expect(filesOf('esm', '.js').filter((file) => !file.startsWith('shared/'))).toEqual([
      'cli/main.js',
      ...entries,
    ]);
    expect(filesOf('cjs', '.js').filter((file) => !file.startsWith('shared/'))).toEqual(entries);
    for (const build of ['esm', 'cjs']) {
      expect(filesOf(build, '.js').length).toBeLessThan(10);
      // A file that only exports what others define has no map.
      const mapped = filesOf(build, '.js').filter((file) => file !== 'pool/index.js');
      expect(filesOf(build, '.js.map')).toEqual(mapped.map((file) => `${file}.map`));
    }
    expect(filesOf('esm', '.d.ts').filter((file) => !file.startsWith('cli/'))).toEqual(
      filesOf('cjs', '.d.ts'),
    );
    expect(filesOf('cjs', '.d.ts')).toEqual(
      expect.arrayContaining(['index.d.ts', 'pool/index.d.ts', 'health/database-health.module.d.ts']),
    );
  });

  it('declares nothing internal in its types', () => {
    const declared = (file: string) => readFileSync(join(consumer.installed, file), 'utf8');
    const types = consumer.files.filter((file) => file.endsWith('.d.ts'));
    expect(types.filter((file) => declared(file).includes('@internal'))).toEqual([]);
    for (const build of ['esm', 'cjs']) {
      const unit = declared(`dist/${build}/unit-of-work/unit-of-work.d.ts`);
      expect(unit).toContain('createQueryRunner()');
      expect(unit).not.toMatch(/handlerStarted|handlerSettled|responseClosed/);
    }
  });

  it('contains every file that its manifest names', () => {
    const { exports, main, module, types, typesVersions, bin = {} } = consumer.manifest;
    const named = [...leaves([exports, typesVersions, bin]), main, module, types].map((path) =>
      path.replace(/^\.\//, ''),
    );
    expect(named.filter((path) => !consumer.files.includes(path))).toEqual([]);
  });

  it('contains the documentation that its README links to', () => {
    const readme = readFileSync(join(consumer.installed, 'README.md'), 'utf8');
    const linked = [...readme.matchAll(/\]\((docs\/[\w-]+\.md)/g)].map(([, path]) => path!);
    expect(linked.length).toBeGreaterThan(5);
    expect(linked.filter((path) => !consumer.files.includes(path))).toEqual([]);
  });

  describe('installed with pg alone', () => {
    let alone: Consumer;
    beforeAll(async () => {
      alone = await Consumer.create(['typescript'], false);
    }, 60_000);
    afterAll(() => alone?.remove());

    it('requires no other peer, since all others are optional', () => {
      const { peerDependencies = {}, peerDependenciesMeta = {} } = alone.manifest;
      const needed = Object.keys(peerDependencies).filter((peer) => !peerDependenciesMeta[peer]?.optional);
      expect(needed).toEqual(['pg']);
    });

    it('has a pool that works', () => {
      const script = `
        import { ConnectionPool } from 'nestjs-database/pool';
        const pool = new ConnectionPool({ connectionString: process.env.URL });
        const { rows } = await pool.query('SELECT current_database() AS name');
        await pool.end();
        console.log(JSON.stringify(rows));`;
      expect(alone.run('pool.mjs', script, { URL: database.url })).toEqual([{ name: database.name }]);
    });

    it('has a pool whose types are complete and import neither TypeORM nor Nest', () => {
      for (const build of ['esm', 'cjs']) {
        const reached = new Set<string>();
        const foreign = new Set<string>();
        const visit = (file: string) => {
          if (reached.has(file)) return;
          reached.add(file);
          const text = readFileSync(join(alone.installed, file), 'utf8');
          for (const [, from] of text.matchAll(/(?:from|import\(|import|module) ?['"]([^'"]+)['"]/g))
            if (from!.startsWith('.')) visit(join(dirname(file), from!.replace(/\.js$/, '.d.ts')));
            else foreign.add(from!);
        };
        visit(`dist/${build}/pool/index.d.ts`);
        expect([...foreign].filter((name) => !name.startsWith('node:')).sort()).toEqual(['pg']);
      }
      const code = `
        import { ConnectionPool, type PoolOptions } from 'nestjs-database/pool';
        const options: PoolOptions = { size: 2 };
        export const pool = new ConnectionPool(options);`;
      alone.write('pool.mts', code);
      alone.write('pool.cts', code);
      const compilerOptions = { target: 'ES2022', module: 'nodenext', strict: true, skipLibCheck: false };
      alone.write('tsconfig.json', JSON.stringify({ compilerOptions, files: ['pool.mts', 'pool.cts'] }));
      expect(alone.compile()).toEqual([]);
    }, 60_000);
  });

  describe('installed without @nestjs/config and @nestjs/terminus', () => {
    let without: Consumer;
    beforeAll(async () => {
      const needed = ['reflect-metadata', 'rxjs', '@nestjs/common', '@nestjs/core', 'typeorm'];
      without = await Consumer.create(needed, false);
    }, 60_000);
    afterAll(() => without?.remove());

    const imports = `
      import 'reflect-metadata';
      import * as core from '@nestjs/core';
      import * as typeorm from 'typeorm';
      import * as database from 'nestjs-database';`;

    it('connects', () => {
      const script = `${imports}
        ${body}
        await main(core, typeorm, database);`;
      expect(without.run('main.mjs', script, { DB_URL: database.url })).toMatchObject({
        rows: [{ name: database.name }],
      });
    });

    it('names the missing package when an app imports what needs it', () => {
      const script = `${imports}
        const start = (...imports) =>
          core.NestFactory.createApplicationContext({ module: class AppModule {}, imports }, { logger: false, abortOnError: false })
            .then(() => 'started', ({ code, message }) => [code, message.split("'")[1]]);
        console.log(JSON.stringify([
          await start(database.DatabaseHealthModule),
          await start(database.DatabaseModule.forRootAsync(database.databaseConfig.asProvider())),
        ]));`;
      expect(without.run('missing.mjs', script)).toEqual([
        ['ERR_MODULE_NOT_FOUND', '@nestjs/terminus'],
        ['ERR_MODULE_NOT_FOUND', '@nestjs/config'],
      ]);
    });
  });

  describe.each(['module', 'commonjs'] as const)('in a Nest 12 app with the type "%s"', (type) => {
    itFollowsTheReadme(12, type, () => ({ folder: consumer.temporary, manifest: consumer.manifest }));
  });

  it('includes the doctor', () => {
    expect(consumer.program(['doctor', '--json'], { DB_URL: database.url })).toMatchObject({
      healthy: true,
      exitCode: 0,
    });
  });

  it('works when imported as ESM', () => {
    const script = `
      import 'reflect-metadata';
      import * as core from '@nestjs/core';
      import * as typeorm from 'typeorm';
      import * as database from 'nestjs-database';
      ${body}
      await main(core, typeorm, database);`;
    expect(consumer.run('main.mjs', script, { DB_URL: database.url })).toEqual({
      rows: [{ name: database.name }],
      monitor: 'function',
    });
  });

  it('works when required as CommonJS', () => {
    const script = `
      require('reflect-metadata');
      ${body}
      main(require('@nestjs/core'), require('typeorm'), require('nestjs-database'));`;
    expect(consumer.run('main.cjs', script, { DB_URL: database.url })).toEqual({
      rows: [{ name: database.name }],
      monitor: 'function',
    });
  });

  describe('imported beside Nest, TypeORM and pg', () => {
    /** The files that importing `entry` loads in addition to `others`, as paths in node_modules, without those of `others`. */
    const loadedBy = (entry: string, others: string[], build: 'import' | 'require') => {
      // A list of what ESM loads is only known to a hook, which runs in a thread of its own.
      consumer.write(
        'hook.mjs',
        `import { appendFileSync } from 'node:fs';
         export async function load(url, context, next) {
           appendFileSync('loaded.txt', url + '\\n');
           return next(url, context);
         }`,
      );
      consumer.write('loaded.txt', '');
      const script = `
        import { readFileSync, realpathSync } from 'node:fs';
        import { createRequire, register } from 'node:module';
        import { fileURLToPath } from 'node:url';
        register('./hook.mjs', import.meta.url);
        const require = createRequire(import.meta.url);
        const loaded = () => [
          ...readFileSync('loaded.txt', 'utf8').split('\\n').filter((url) => url.startsWith('file:')).map(fileURLToPath),
          ...Object.keys(require.cache),
        ].map((path) => realpathSync(path).split('/node_modules/').at(-1));
        const load = (name) => ${build === 'import' ? 'import(name)' : 'require(name)'};
        for (const name of ${JSON.stringify(others)}) await load(name);
        const before = new Set(loaded());
        await load(${JSON.stringify(entry)});
        const others = ${JSON.stringify(others)};
        const isOther = (path) => others.some((name) => path.startsWith(name + '/'));
        console.log(JSON.stringify([...new Set(loaded())].filter((path) => !before.has(path) && !isOther(path)).sort()));`;
      return consumer.run<string[]>('loaded.mjs', script);
    };
    const frameworks = ['reflect-metadata', 'rxjs', '@nestjs/common', '@nestjs/core', 'typeorm', 'pg'];

    it.each(['import', 'require'] as const)('loads few files, and no optional package, by %s', (build) => {
      const files = loadedBy('nestjs-database', frameworks, build);
      expect(files).toContain(`nestjs-database/dist/${build === 'import' ? 'esm' : 'cjs'}/index.js`);
      expect(files.filter((file) => !file.startsWith('nestjs-database/'))).toEqual([]);
      expect(files.length).toBeLessThanOrEqual(4);
    });

    it.each(['import', 'require'] as const)('loads the pool alone in two files, by %s', (build) => {
      const files = loadedBy('nestjs-database/pool', ['pg'], build);
      expect(files).toHaveLength(2);
      expect(files.filter((file) => !file.startsWith('nestjs-database/'))).toEqual([]);
    });
  });

  it.each(['import', 'require'])('shares its classes between its entry points, by %s', (build) => {
    const script = `
      import 'reflect-metadata';
      import { createRequire } from 'node:module';
      const require = createRequire(import.meta.url);
      const load = async (name) => ${build === 'import' ? 'import(name)' : 'require(name)'};
      const [all, pool] = [await load('nestjs-database'), await load('nestjs-database/pool')];
      const isClass = ([, value]) => typeof value === 'function' && /^class\\b/.test(String(value));
      const classes = [...Object.entries(all), ...Object.entries(pool)].filter(isClass);
      console.log(JSON.stringify({
        different: Object.keys(pool).filter((name) => name in all && name !== '__esModule' && all[name] !== pool[name]),
        shared: Object.keys(pool).includes('PoolError') && 'PoolError' in all,
        renamed: classes.filter(([name, { name: own }]) => name !== own).map(([name]) => name),
        count: classes.length,
      }));`;
    const { count, ...found } = consumer.run<{ count: number }>('classes.mjs', script);
    expect(found).toEqual({ different: [], shared: true, renamed: [] });
    expect(count).toBeGreaterThan(20);
  });

  it('has source maps that lead to its sources', () => {
    const script = `
      import { spawnSync } from 'node:child_process';
      const code = "import 'reflect-metadata'; import { getDataSourceToken } from 'nestjs-database'; getDataSourceToken(Symbol());";
      const { stderr } = spawnSync(process.execPath, ['--enable-source-maps', '--input-type=module', '-e', code], { encoding: 'utf8' });
      console.log(JSON.stringify(stderr));`;
    expect(consumer.run('maps.mjs', script)).toMatch(
      /at (\w+ \()?\S*nestjs-database\/src\/database\.tokens\.ts:\d+:\d+/,
    );
  });

  it.each(['--no-warnings', '--enable-source-maps'])('leaves its own code out of stacks, with %s', (flag) => {
    // The build of the checkout: among installed modules, the frames of all packages are left out.
    const build = new URL('../../dist/esm/index.js', import.meta.url).href;
    const script = `
      import { spawnSync } from 'node:child_process';
      const code = \`
        import 'reflect-metadata';
        const { DatabaseModule } = await import('${build}');
        function appModule() { DatabaseModule.forRootAsync({}); }
        try { appModule(); } catch (error) { console.log(error.stack.split('\\\\n').filter((line) => line.startsWith('    at ')).join()); }\`;
      const { stdout, stderr } = spawnSync(process.execPath, ['${flag}', '--input-type=module', '-e', code], { encoding: 'utf8' });
      console.log(JSON.stringify(stdout + stderr));`;
    const frames = consumer.run<string>('frames.mjs', script);
    expect(frames).toMatch(/^ {4}at appModule/);
    expect(frames).not.toMatch(/database\.module|dist\/esm|\/src\//);
  });

  describe('with both builds loaded in one process', () => {
    const both = `
      import 'reflect-metadata';
      import { createRequire } from 'node:module';
      import * as esm from 'nestjs-database';
      const require = createRequire(import.meta.url);
      const cjs = require('nestjs-database');
    `;

    it('exports the same names and tokens in both', () => {
      const script = `${both}
        class User {}
        const tokensOf = (build) => [
          build.getDataSourceToken('second'), build.getEntityManagerToken('second'), build.getQueryRunnerToken('second'),
          build.getQueryRunnerToken(), build.getRepositoryToken(User), build.getRepositoryToken(User, 'second'),
          build.databaseConfig.KEY,
        ].map(String);
        const namesOf = (build) => Object.keys(build).filter((name) => name !== 'default' && name !== '__esModule' && name !== 'module.exports').sort();
        console.log(JSON.stringify({
          different: esm.DatabaseModule !== cjs.DatabaseModule,
          names: [namesOf(esm), namesOf(cjs)],
          tokens: [tokensOf(esm), tokensOf(cjs)],
          classes: esm.getDataSourceToken() === cjs.getDataSourceToken() && esm.getEntityManagerToken() === cjs.getEntityManagerToken(),
        }));`;
      const { different, names, tokens, classes } = consumer.run<{
        different: boolean;
        names: string[][];
        tokens: string[][];
        classes: boolean;
      }>('tokens.mjs', script);
      expect(different).toBe(true);
      expect(names[0]).toContain('DatabaseModule');
      expect(names[0]).toEqual(names[1]);
      expect(tokens[0]).toEqual(tokens[1]);
      expect(classes).toBe(true);
    });

    it('recognises the errors of the other build by instanceof', () => {
      const script = `${both}
        const results = {};
        for (const [name, thrower, judge] of [['esm by cjs', esm, cjs], ['cjs by esm', cjs, esm], ['own', esm, esm]]) {
          try {
            thrower.DatabaseModule.forRootAsync({});
          } catch (error) {
            results[name] = [
              error instanceof judge.DatabaseConfigError, error instanceof judge.DatabaseError, error instanceof Error,
              error instanceof judge.DatabaseConnectionError, new Error('other') instanceof judge.DatabaseError,
            ];
          }
        }
        console.log(JSON.stringify(results));`;
      const expected = [true, true, true, false, false];
      expect(consumer.run('errors.mjs', script)).toEqual({
        'esm by cjs': expected,
        'cjs by esm': expected,
        own: expected,
      });
    });

    it('provides repositories that are requested through the other build', () => {
      const script = `${both}
        import { NestFactory } from '@nestjs/core';
        import { EntitySchema } from 'typeorm';
        class Thing {}
        const schema = new EntitySchema({
          name: 'Thing', target: Thing, tableName: 'things', columns: { id: { type: 'int', primary: true } },
        });
        class FeatureModule {}
        const feature = { module: FeatureModule, imports: [cjs.DatabaseModule.forFeature([Thing])] };
        class AppModule {}
        const app = await NestFactory.createApplicationContext(
          { module: AppModule, imports: [esm.DatabaseModule.forRoot({ entities: [schema], synchronize: true }), feature] },
          { logger: false },
        );
        const things = app.get(cjs.getRepositoryToken(Thing), { strict: false });
        await things.save({ id: 7 });
        console.log(JSON.stringify(await things.find()));
        await app.close();`;
      expect(consumer.run('repositories.mjs', script, { DB_URL: database.url })).toEqual([{ id: 7 }]);
    });
  });

  it('has types that resolve for ESM and for CommonJS, complete in themselves', () => {
    const code = `
      @Entity()
      class User {
        @PrimaryGeneratedColumn() id!: number;
      }

      @Module({
        imports: [
          DatabaseModule.forRootAsync({
            imports: [ConfigModule.forFeature(databaseConfig)],
            inject: [databaseConfig.KEY],
            useFactory: (config: ConfigType<typeof databaseConfig>) => ({ ...config, autoLoadEntities: true }),
          }),
          DatabaseModule.forRootAsync(databaseConfig.asProvider()),
          DatabaseModule.forRoot(),
          DatabaseModule.forRoot({ name: 'second', url: 'postgres://127.0.0.1/app', pool: { size: 2 }, synchronize: false }),
          // @ts-expect-error the number of connections is a number
          DatabaseModule.forRoot({ pool: { size: 'many' } }),
          DatabaseModule.forFeature([User]),
          DatabaseHealthModule,
        ],
      })
      export class AppModule {}

      @Injectable()
      export class Users {
        constructor(
          private readonly dataSource: DataSource,
          @InjectRepository(User) private readonly users: Repository<User>,
          @InjectQueryRunner() private readonly runner: QueryRunner,
          private readonly monitor: DatabaseMonitor,
        ) {}
        async all(): Promise<User[]> {
          void [this.dataSource, this.runner, this.monitor.options, await this.monitor.checkConnection()];
          return this.users.find();
        }
      }

      export function hint(error: unknown): string | undefined {
        return error instanceof DatabaseError ? error.hint : undefined;
      }`;
    const names = {
      '@nestjs/common': 'Injectable, Module',
      '@nestjs/config': 'ConfigModule, type ConfigType',
      typeorm: 'DataSource, Entity, PrimaryGeneratedColumn, type QueryRunner, type Repository',
      'nestjs-database':
        'DatabaseError, DatabaseHealthModule, DatabaseModule, DatabaseMonitor, InjectQueryRunner, InjectRepository, databaseConfig',
    };
    const imports = Object.entries(names).map(([from, what]) => `import { ${what} } from '${from}';\n`);
    consumer.write('esm.mts', imports.join('') + code);
    consumer.write('cjs.cts', imports.join('') + code);
    consumer.write(
      'tsconfig.json',
      JSON.stringify({
        compilerOptions: {
          ...{
            target: 'ES2022',
            module: 'nodenext',
            moduleResolution: 'nodenext',
            strict: true,
          },
          ...{ experimentalDecorators: true, emitDecoratorMetadata: true },
          // Checks the declarations of this package too; errors in those of other packages are ignored.
          skipLibCheck: false,
        },
        files: ['esm.mts', 'cjs.cts'],
      }),
    );
    const complaints = consumer.compile();
    expect(
      complaints.filter((line) => /^(esm\.mts|cjs\.cts|error|node_modules\/nestjs-database\/)/.test(line)),
    ).toEqual([]);
  }, 90_000);
});

function leaves(tree: unknown): string[] {
  if (typeof tree === 'string') return [tree];
  return typeof tree === 'object' && tree !== null ? Object.values(tree).flatMap(leaves) : [];
}
