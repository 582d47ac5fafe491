/** Key of the note. `Symbol.for`, because both builds of this package have to find it. */
const HTTP_ERRORS = Symbol.for('nestjs-database.error.httpErrors');

/** Marks an error as that of a data source of this package, and keeps the data source's option `httpErrors` on it. */
export function noteHttpErrors(error: unknown, httpErrors: boolean): void {
  if (typeof error === 'object' && error !== null && Object.isExtensible(error))
    Object.defineProperty(error, HTTP_ERRORS, { value: httpErrors, configurable: true });
}

/** The option `httpErrors` of the data source that failed; undefined for an error of other code. */
export function httpErrorsOf(error: object): boolean | undefined {
  return (error as { [HTTP_ERRORS]?: boolean })[HTTP_ERRORS];
}
