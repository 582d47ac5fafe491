import { ConfigurableModuleBuilder } from '@nestjs/common';
import type { DatabaseModuleOptions } from './database.options.js';
import { DEFAULT_DATA_SOURCE_NAME } from './database.tokens.js';

/** Settings of the module itself, known before its options are. */
export interface DatabaseModuleExtras {
  /** Name of the data source, when there are several. @defaultValue 'default' */
  name?: string;
}

export const { ConfigurableModuleClass, MODULE_OPTIONS_TOKEN, OPTIONS_TYPE, ASYNC_OPTIONS_TYPE } =
  new ConfigurableModuleBuilder<DatabaseModuleOptions>()
    .setClassMethodName('forRoot')
    .setFactoryMethodName('createDatabaseOptions')
    .setExtras<DatabaseModuleExtras>({ name: DEFAULT_DATA_SOURCE_NAME }, (definition) => ({
      ...definition,
      // As in @nestjs/typeorm: a feature module's repositories find the data source without importing the root.
      global: true,
    }))
    .build();
