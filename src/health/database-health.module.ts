import { Module } from '@nestjs/common';
import type { DynamicModule } from '@nestjs/common';
import { TerminusModule } from '@nestjs/terminus';
import { createHealthController } from './database-health.controller.js';
import { DatabaseHealthIndicator, validateTimeout } from './database-health.indicator.js';
import type { DatabasePingOptions } from './database-health.indicator.js';

/** The health route, and what it checks. */
export interface DatabaseHealthOptions extends DatabasePingOptions {
  /** Path of the route. `false`: no route, only the indicator. @defaultValue 'health/db' */
  path?: string | false;
  /** Key in the result of Terminus. @defaultValue 'db' */
  key?: string;
}

const DEFAULT_ROUTE = { path: 'health/db', key: 'db' };

/** The indicator without a route, so that `forRoot()` does not serve the default route in addition to its own. */
@Module({
  imports: [TerminusModule],
  providers: [DatabaseHealthIndicator],
  exports: [DatabaseHealthIndicator, TerminusModule],
})
class DatabaseHealthRootModule {}

/**
 * Serves `GET /health/db` with Terminus: status 200 when the database answers within one second, otherwise 503.
 *
 * @example
 * ```ts
 * @Module({ imports: [DatabaseModule.forRoot(), DatabaseHealthModule] })
 * export class AppModule {}
 * ```
 */
@Module({
  imports: [DatabaseHealthRootModule],
  controllers: [createHealthController(DEFAULT_ROUTE)],
  exports: [DatabaseHealthRootModule],
})
export class DatabaseHealthModule {
  /**
   * Serves a health route with these options, or none with `path: false`. Import it once for each data source with a route.
   *
   * @throws DatabaseConfigError `DATABASE_CONFIG_INVALID` when `timeoutMs` is outside its bounds
   * @example
   * ```ts
   * DatabaseHealthModule.forRoot({ path: 'health/reporting', key: 'reporting', dataSource: 'reporting' });
   * ```
   */
  static forRoot({ path = DEFAULT_ROUTE.path, ...options }: DatabaseHealthOptions = {}): DynamicModule {
    validateTimeout(options);
    return {
      module: DatabaseHealthRootModule,
      controllers: path === false ? [] : [createHealthController({ ...DEFAULT_ROUTE, ...options, path })],
    };
  }
}
