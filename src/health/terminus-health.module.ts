import { Module } from '@nestjs/common';
import type { DynamicModule } from '@nestjs/common';
import { TerminusModule } from '@nestjs/terminus';
import { createHealthController } from './database-health.controller.js';
import type { HealthRoute } from './database-health.controller.js';
import { DatabaseHealthIndicator } from './database-health.indicator.js';

/** The indicator and Terminus, for health routes and for the app. */
@Module({
  imports: [TerminusModule],
  providers: [DatabaseHealthIndicator],
  exports: [DatabaseHealthIndicator, TerminusModule],
})
export class TerminusHealthModule {}

/** The indicator and Terminus, with a controller for `route`. */
export function withHealthRoute(route: HealthRoute): DynamicModule {
  return { module: TerminusHealthModule, controllers: [createHealthController(route)] };
}
