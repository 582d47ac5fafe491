/** The same error with all its properties but the stack: one failure can reject several callers, and each needs its own stack. */
export function copyOfError(error: Error): Error {
  const { stack: _stack, ...properties } = Object.getOwnPropertyDescriptors(error) as PropertyDescriptorMap;
  const copy = new Error(error.message);
  Object.setPrototypeOf(copy, Object.getPrototypeOf(error) as object);
  return Object.defineProperties(copy, properties);
}
