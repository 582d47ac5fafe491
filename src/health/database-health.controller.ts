import { Controller, Get, Inject, VERSION_NEUTRAL } from '@nestjs/common';
import type { OnModuleInit, Type } from '@nestjs/common';
import { HealthCheck, HealthCheckService } from '@nestjs/terminus';
import { DatabaseHealthIndicator } from './database-health.indicator.js';
import type { DatabasePingOptions } from './database-health.indicator.js';

/** What the controller serves: the options of the ping, and the key in the answer. */
export interface HealthRoute extends DatabasePingOptions {
  path: string;
  key: string;
}

/** A controller at this path: Nest reads the path from the class, so each path is a class of its own. */
export function createHealthController({ path, key, ...ping }: HealthRoute): Type {
  // Version-neutral, since probes know nothing of an API's versions.
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

    /** A name that no data source has ends the start, and not each check. */
    onModuleInit(): void {
      const { dataSource = 'default' } = ping;
      if (typeof dataSource === 'string') this.#database.named(dataSource);
    }

    @Get()
    @HealthCheck()
    check() {
      return this.#health.check([() => this.#database.pingCheck(key, ping)]);
    }
  }
  return DatabaseHealthController;
}
