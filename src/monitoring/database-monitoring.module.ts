import { Global, Module } from '@nestjs/common';
import { DatabaseMonitor } from './database.monitor.js';

/** Provides one monitor for all data sources. It is a static module, so that all `DatabaseModule.forRoot()` share it. */
@Global()
@Module({ providers: [DatabaseMonitor], exports: [DatabaseMonitor] })
export class DatabaseMonitoringModule {}
