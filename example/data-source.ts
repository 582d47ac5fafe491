import { createDataSource } from 'nestjs-database';
import { databaseOptions } from './database.options.js';
import { User } from './users/user.entity.js';

/** For `nestjs-database migration:… --data-source` and for TypeORM's own command line. */
export default createDataSource({ ...databaseOptions, entities: [User] });
