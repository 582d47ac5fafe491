import type { InjectionToken, ModuleMetadata } from '@nestjs/common';
import { Test } from '@nestjs/testing';
import type { TestingModule } from '@nestjs/testing';
import { DatabaseModule } from 'nestjs-database';
import type { DatabaseModuleOptions, ManagedDataSource } from 'nestjs-database';
import { DataSource } from 'typeorm';
import { CapturingLogger } from './capturing-logger.js';

/** Starts Nest modules with `DatabaseModule`, one after the other, without HTTP. Call `close()` after each test. */
export class NestModule {
  /** The log of the module that was started last, even if its start failed. */
  logger = new CapturingLogger();
  private module: TestingModule | undefined;

  /** Starts a module with `DatabaseModule.forRoot(options)` and `imports`, and resolves with its data source. */
  async start(
    options: DatabaseModuleOptions,
    imports: NonNullable<ModuleMetadata['imports']> = [],
  ): Promise<ManagedDataSource> {
    this.logger = new CapturingLogger();
    this.module = await Test.createTestingModule({ imports: [DatabaseModule.forRoot(options), ...imports] })
      .setLogger(this.logger)
      .compile();
    return this.module.get<DataSource, ManagedDataSource>(DataSource);
  }

  /** A provider of the running module. */
  get<Provider>(token: InjectionToken<Provider>): Provider {
    if (!this.module) throw new Error('No module is running.');
    return this.module.get<Provider>(token);
  }

  async close(): Promise<void> {
    const { module } = this;
    this.module = undefined;
    await module?.close();
  }
}
