import type { DataSource } from 'typeorm';
import { DatabaseError } from '../../errors/database.error.js';

/** The request that a query runner belongs to. */
export interface RequestBorrower {
  /** `GET /users/:id` */
  readonly name: string;
  /** Whether the running code belongs to a run of the request's handler that has not settled. */
  readonly isHandlerRunning: () => boolean;
}

/** What is known of a borrower that no request names: `dataSource.query`, `a repository of User`. */
export function describeBorrower(
  dataSource: DataSource,
  callerName: string | undefined,
  isInTransactionScope: boolean,
  lastSql: string | undefined,
): string {
  return (
    callerName ??
    (isInTransactionScope ? 'dataSource.transaction' : undefined) ??
    (lastSql && repositoryOf(lastSql, dataSource)) ??
    'a query runner'
  );
}

/** The repository that has built this statement: that of the first table in it, if the table is an entity's. */
function repositoryOf(sql: string, { entityMetadatas }: DataSource): string | undefined {
  const quoted = /^(?:SELECT .*?FROM|INSERT INTO|UPDATE|DELETE FROM) ("[^"]+"(?:\."[^"]+")?)/s.exec(sql)?.[1];
  if (quoted === undefined) return undefined;
  const table = quoted.replaceAll('"', '');
  const entity = entityMetadatas.find(({ tablePath }) => tablePath === table);
  return entity && `a repository of ${entity.name}`;
}

/** The response has ended before the handler began: nothing would read what a transaction or a pinned connection does. */
export function requestClosedError(borrowerName: string | undefined): DatabaseError {
  return new DatabaseError(
    `The client of ${borrowerName ?? 'the request'} has gone before its handler began; no transaction is begun for it.`,
    { code: 'REQUEST_CLOSED', hint: 'No action is needed: the request has no reader any more.' },
  );
}
