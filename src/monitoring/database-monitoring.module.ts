import { Global, Module } from '@nestjs/common';
import { DatabaseMonitor } from './database.monitor.js';

/** Provides one monitor for all data sources. A static module, so that several `DatabaseModule.forRoot()` share it. */
@Global()
@Module({ providers: [DatabaseMonitor], exports: [DatabaseMonitor] })
export class DatabaseMonitoringModule {}
