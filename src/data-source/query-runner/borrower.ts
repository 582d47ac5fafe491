import type { DataSource } from 'typeorm';
import { DatabaseError } from '../../errors/database.error.js';
import type { ScopeRequest } from '../execution-scope.js';

/** The request that a query runner belongs to. */
export interface RequestBorrower extends ScopeRequest {
  /** Whether its runners may pin a connection. */
  readonly isPinningAllowed: boolean;
  /** Whether handler and response have ended. */
  readonly isOver: boolean;
  /** Whether the running code belongs to a run of the request's handler that has not settled. */
  isHandlerRunning(): boolean;
  /** Called before each use of a runner. Releases the runners if the request has ended. */
  beforeUse(): void;
  /** A runner of the request has pinned its connection. */
  onPinned(): void;
}

/** Names a borrower by the method, the transaction or the repository that uses it: `dataSource.query`, `a repository of User`. */
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

/** Names the repository that has built this statement, by its first table; undefined if no entity has that table. */
function repositoryOf(sql: string, { entityMetadatas }: DataSource): string | undefined {
  const quoted = /^(?:SELECT .*?FROM|INSERT INTO|UPDATE|DELETE FROM) ("[^"]+"(?:\."[^"]+")?)/s.exec(sql)?.[1];
  if (quoted === undefined) return undefined;
  const table = quoted.replaceAll('"', '');
  const entity = entityMetadatas.find(({ tablePath }) => tablePath === table);
  return entity && `a repository of ${entity.name}`;
}

/** The error of a transaction or a `connect()` that begins after the response has ended, while no handler of the request runs. */
export function requestClosedError({ name }: RequestBorrower): DatabaseError {
  return new DatabaseError(
    `The response of ${name} has ended, and no handler of it runs; the request may not pin a connection.`,
    {
      code: 'REQUEST_CLOSED',
      hint: 'No action is needed after a disconnect: nothing reads the result. Work that continues after the response needs dataSource.createQueryRunner().',
    },
  );
}
