import { Global, Module } from '@nestjs/common';
import { DatabaseMonitor } from './database.monitor.js';

/** One monitor for all data sources: a static module, so that several roots share it. */
@Global()
@Module({ providers: [DatabaseMonitor], exports: [DatabaseMonitor] })
export class DatabaseMonitoringModule {}
