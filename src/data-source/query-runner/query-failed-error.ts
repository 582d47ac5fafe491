import { errorParagraph } from '../../errors/error-paragraph.js';
import { QueryFailedError } from 'typeorm';
import { shortSql } from '../../text/masking.js';
import { callSite, setStackFrom, withoutStack } from '../../text/call-site.js';

/** Fields of the server's error beside its message. */
const SERVER_FIELDS = ['detail', 'where', 'table', 'column', 'constraint'] as const;

/**
 * Creates TypeORM's error of a statement. `inspect` prints it as one paragraph: the caller's stack, the statement, the fields of the
 * server's error. It omits the driver's error, which repeats these, and the parameters, which may be personal data. Programs can read
 * both.
 *
 * @param showParameters whether the parameters are printed
 */
export function createQueryFailedError(
  query: string,
  parameters: unknown[] | undefined,
  driverError: unknown,
  showParameters: boolean,
): QueryFailedError {
  const error = withoutStack(() => new QueryFailedError(query, parameters, driverError as Error));
  setStackFrom(error, callSite(createQueryFailedError));
  Object.defineProperty(error, 'driverError', { enumerable: false });
  if (!showParameters) Object.defineProperty(error, 'parameters', { enumerable: false });
  Object.defineProperty(error, Symbol.for('nodejs.util.inspect.custom'), { value: inspectFailedQuery });
  return error;
}

function inspectFailedQuery(
  this: QueryFailedError & Record<string, unknown>,
  _depth: number,
  options: object,
  inspect: (value: unknown, options: object) => string,
): string {
  const shown: Record<string, unknown> = {};
  for (const key of ['code', ...SERVER_FIELDS, 'hint', 'query'])
    if (this[key] !== undefined) shown[key] = key === 'query' ? shortSql(this.query) : this[key];
  if (Object.keys(this).includes('parameters') && this.parameters) shown.parameters = this.parameters;
  const stackOnly = Object.create(null, { stack: { get: () => this.stack } }) as Error;
  return errorParagraph(stackOnly, shown, options, inspect);
}
