/**
 * A promise that starts its work when it is first awaited. In the `imports` of a static module it is a module that Nest loads only in an
 * app that imports that module: a decorator's `import()` would begin with the import of the file.
 */
export class OnDemand<T> extends Promise<T> {
  readonly #start: () => Promise<T>;
  #started: Promise<T> | undefined;

  /** What `then()` returns is a plain promise. */
  static override get [Symbol.species](): PromiseConstructor {
    return Promise;
  }

  constructor(start: () => Promise<T>) {
    super(() => undefined);
    this.#start = start;
  }

  override then<A = T, B = never>(
    onFulfilled?: ((value: T) => A | PromiseLike<A>) | null,
    onRejected?: ((reason: unknown) => B | PromiseLike<B>) | null,
  ): Promise<A | B> {
    this.#started ??= this.#start();
    return this.#started.then(onFulfilled, onRejected);
  }
}
