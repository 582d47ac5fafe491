import { ConfigurableModuleBuilder } from '@nestjs/common';
import type { DatabaseModuleOptions } from './database.options.js';
import { DEFAULT_DATA_SOURCE_NAME } from './database.tokens.js';

/** Options of the module itself, which are known before a factory is called. */
export interface DatabaseModuleExtras {
  /**
   * Name of the data source, if there are several.
   * @defaultValue `'default'`
   */
  name?: string;
}

export const { ConfigurableModuleClass, MODULE_OPTIONS_TOKEN, OPTIONS_TYPE, ASYNC_OPTIONS_TYPE } =
  new ConfigurableModuleBuilder<DatabaseModuleOptions>()
    .setClassMethodName('forRoot')
    .setFactoryMethodName('createDatabaseOptions')
    .setExtras<DatabaseModuleExtras>({ name: DEFAULT_DATA_SOURCE_NAME }, (definition) => ({
      ...definition,
      // As in @nestjs/typeorm: feature modules need no import of the root.
      global: true,
    }))
    .build();
