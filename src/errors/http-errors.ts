/** Key of the option on an error. `Symbol.for`, because both builds of this package must find it. */
const HTTP_ERRORS = Symbol.for('nestjs-database.error.httpErrors');

/** Stores on an error the option `httpErrors` of the data source that failed. */
export function noteHttpErrors(error: unknown, httpErrors: boolean): void {
  if (typeof error === 'object' && error !== null && Object.isExtensible(error))
    Object.defineProperty(error, HTTP_ERRORS, { value: httpErrors, configurable: true });
}

/** The option `httpErrors` of the data source that failed; undefined for an error from other code. */
export function httpErrorsOf(error: object): boolean | undefined {
  return (error as { [HTTP_ERRORS]?: boolean })[HTTP_ERRORS];
}
