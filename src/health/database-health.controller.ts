import { Controller, Get, Inject, VERSION_NEUTRAL } from '@nestjs/common';
import type { OnModuleInit, Type } from '@nestjs/common';
import { HealthCheck, HealthCheckService } from '@nestjs/terminus';
import { DatabaseHealthIndicator } from './database-health.indicator.js';
import type { DatabasePingOptions } from './database-health.indicator.js';

/** A health route: its path, the key in its answer, and what it checks. */
export interface HealthRoute extends DatabasePingOptions {
  path: string;
  key: string;
}

/** Creates a controller class for this route. Nest reads the path from the class, so each route needs its own class. */
export function createHealthController({ path, key, ...ping }: HealthRoute): Type {
  // Version-neutral, because probes do not know the versions of an API.
  @Controller({ path, version: VERSION_NEUTRAL })
  class DatabaseHealthController implements OnModuleInit {
    readonly #health: HealthCheckService;
    readonly #database: DatabaseHealthIndicator;

    constructor(
      @Inject(HealthCheckService) health: HealthCheckService,
      @Inject(DatabaseHealthIndicator) database: DatabaseHealthIndicator,
    ) {
      this.#health = health;
      this.#database = database;
    }

    /** Fails at start for an unknown data source, instead of at each check. */
    onModuleInit(): void {
      const { dataSource = 'default' } = ping;
      if (typeof dataSource === 'string') this.#database.dataSourceNamed(dataSource);
    }

    @Get()
    @HealthCheck()
    check() {
      return this.#health.check([() => this.#database.pingCheck(key, ping)]);
    }
  }
  return DatabaseHealthController;
}
