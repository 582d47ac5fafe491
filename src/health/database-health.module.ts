import { Module } from '@nestjs/common';
import type { DynamicModule } from '@nestjs/common';
import { TerminusModule } from '@nestjs/terminus';
import { createHealthController } from './database-health.controller.js';
import { checkPing, DatabaseHealthIndicator } from './database-health.indicator.js';
import type { DatabasePingOptions } from './database-health.indicator.js';

/** Where health is served, and how the database is asked. */
export interface DatabaseHealthOptions extends DatabasePingOptions {
  /** `false`: no route, only the indicator. @defaultValue 'health/db' */
  path?: string | false;
  /** Key in the answer. @defaultValue 'db' */
  key?: string;
}

const DEFAULT_ROUTE = { path: 'health/db', key: 'db' };

/** The same without a route of its own: what `forRoot` adds to must not have the default one. */
@Module({
  imports: [TerminusModule],
  providers: [DatabaseHealthIndicator],
  exports: [DatabaseHealthIndicator, TerminusModule],
})
class DatabaseHealthRootModule {}

/** Serves `GET /health/db` by Terminus: 200 when the database answers, 503 when it doesn't. */
@Module({
  imports: [DatabaseHealthRootModule],
  controllers: [createHealthController(DEFAULT_ROUTE)],
  exports: [DatabaseHealthRootModule],
})
export class DatabaseHealthModule {
  /**
   * The same with settings; once for each data source that has a route.
   * @throws DatabaseConfigError for a `timeoutMs` that is none
   */
  static forRoot({ path = DEFAULT_ROUTE.path, ...options }: DatabaseHealthOptions = {}): DynamicModule {
    checkPing(options);
    return {
      module: DatabaseHealthRootModule,
      controllers: path === false ? [] : [createHealthController({ ...DEFAULT_ROUTE, ...options, path })],
    };
  }
}
