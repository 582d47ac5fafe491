import { execFile } from 'node:child_process';
import { mkdirSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { sql, url } from './support';

const folder = join(__dirname, '..', 'shop');

const CREATE_ORDERS = `
exports.CreateOrders1716200000000 = class CreateOrders1716200000000 {
  async up(queryRunner) {
    await queryRunner.query('CREATE TABLE "shop_orders" ("id" integer NOT NULL, CONSTRAINT "PK_shop_orders" PRIMARY KEY ("id"))');
  }
  async down(queryRunner) {
    await queryRunner.query('DROP TABLE "shop_orders"');
  }
};
`;

const ENTITY = `
const { EntitySchema } = require('typeorm');
exports.Order = new EntitySchema({
  name: 'Order',
  tableName: 'shop_orders',
  columns: { id: { type: 'int', primary: true, primaryKeyConstraintName: 'PK_shop_orders' } },
});
`;

const APP = `
require('reflect-metadata');
const { Module } = require('@nestjs/common');
const { DatabaseModule } = require('nestjs-database');
const { Order } = require('./order.js');
class AppModule { onModuleInit() { throw new Error('a hook ran'); } }
Module({
  imports: [
    DatabaseModule.forRoot({ migrations: ['migrations/*.js'], migrationsTableName: 'shop_migrations' }),
    DatabaseModule.forFeature([Order]),
  ],
  providers: [{ provide: 'ALIVE', useFactory: () => setInterval(() => undefined, 1_000) }],
})(AppModule);
exports.AppModule = AppModule;
`;

/** Runs a program of the installed packages in the folder of the app. */
function run(program: string, ...args: string[]): Promise<{ code: number; out: string; err: string }> {
  const path = join(__dirname, '..', 'node_modules', program);
  const env = { PATH: process.env.PATH, DB_URL: url };
  return new Promise((resolve) =>
    execFile(process.execPath, [path, ...args], { cwd: folder, env }, (error, out, err) =>
      resolve({ code: error ? Number(error.code) : 0, out, err }),
    ),
  );
}

const typeorm = (...args: string[]) => run('typeorm/cli.js', ...args, '-d', 'data-source.js');
const ours = (...args: string[]) => run('nestjs-database/dist/esm/cli/main.js', ...args);

describe('Migrations on Nest 11 and TypeORM 0.3', () => {
  const reset = () => sql('DROP TABLE IF EXISTS shop_orders, shop_migrations');

  beforeAll(async () => {
    await reset();
    mkdirSync(join(folder, 'migrations'), { recursive: true });
    const write = (file: string, text: string) => writeFileSync(join(folder, file), text);
    write('migrations/1716200000000-create-orders.js', CREATE_ORDERS);
    write('order.js', ENTITY);
    write('app.module.js', APP);
    write(
      'data-source.js',
      `const { createDataSource } = require('nestjs-database');
       const { Order } = require('./order.js');
       exports.default = createDataSource({ entities: [Order], migrations: ['migrations/*.js'], migrationsTableName: 'shop_migrations' });`,
    );
  });
  afterEach(reset);
  afterAll(() => rmSync(folder, { recursive: true }));

  it('the command line of TypeORM runs, shows and reverts them by createDataSource()', async () => {
    expect((await typeorm('migration:show')).out).toContain('[ ] CreateOrders1716200000000');
    expect(await typeorm('migration:run')).toMatchObject({ code: 0 });
    expect((await typeorm('migration:show')).out).toMatch(/\[X\] \d+ CreateOrders1716200000000/);
    expect((await typeorm('schema:log')).out).toContain('up to date');
    expect((await typeorm('migration:revert')).code).toBe(0);
    expect(await sql("SELECT to_regclass('shop_orders') AS found")).toEqual([{ found: null }]);
  });

  it('nestjs-database runs, checks and writes them by the module of the app, whose hooks do not run', async () => {
    const module = ['--module', 'app.module.js'];
    expect(await ours('migration:run', ...module)).toMatchObject({ code: 0, err: '' });
    expect(await ours('migration:check', ...module)).toMatchObject({ code: 0, err: '' });
    expect((await ours('migration:show', '-d', 'data-source.js')).out).toContain(
      '✔ executed  CreateOrders1716200000000',
    );
    expect(await ours('migration:generate', 'Nothing', ...module)).toMatchObject({ code: 0, err: '' });
    const { out, err } = await ours('migration:sql', ...module);
    expect({ out, err }).toEqual({ out: expect.stringContaining('CREATE TABLE "shop_orders"'), err: '' });
  });
});
