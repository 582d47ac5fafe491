import { isObservable, Observable } from 'rxjs';
import { runInScope } from '../data-source/execution-scope.js';
import type { ExecutionScope } from '../data-source/execution-scope.js';
import type { RequestLifecycle } from './request-lifecycle.js';

/**
 * Calls a handler in a scope of its own, and reports when it settles: when it throws or returns a value, when its promise settles, or when
 * the subscription to its Observable ends. The run settles before its outcome is passed on: the code that gets it may use the runners.
 */
export function runHandler(lifecycle: RequestLifecycle, handle: () => unknown): unknown {
  const run = lifecycle.startMethod();
  let result: unknown;
  try {
    result = runInScope(run, () => asPromise(handle()));
  } catch (error) {
    lifecycle.settleHandler(run);
    throw error;
  }
  if (!(result instanceof Promise)) return outcomeOf(lifecycle, run, result);
  return result.then(
    (value: unknown) => outcomeOf(lifecycle, run, value),
    (error: unknown) => {
      lifecycle.settleHandler(run);
      throw error;
    },
  );
}

/**
 * Starts one run of a handler for each subscription, since an interceptor may subscribe again.
 * @param handle starts the handler; Nest binds it to the asynchronous context of this call
 */
export function runPerSubscription(
  lifecycle: RequestLifecycle,
  handle: () => Observable<unknown>,
): Observable<unknown> {
  return runsOf(lifecycle, handle, () => lifecycle.startInterceptors());
}

/** The value that a handler has returned, or its promise. An Observable continues the run with its first subscription. */
function outcomeOf(lifecycle: RequestLifecycle, run: ExecutionScope, value: unknown): unknown {
  if (!isObservable(value)) {
    lifecycle.settleHandler(run);
    return value;
  }
  let isSubscribed = false;
  // Nest subscribes in the same turn of the event loop, or never: if the client has disconnected meanwhile.
  setImmediate(() => {
    if (!isSubscribed) lifecycle.settleHandler(run);
  });
  return runsOf(
    lifecycle,
    () => value,
    () => {
      if (isSubscribed || run.isEnded) return lifecycle.startMethod();
      isSubscribed = true;
      return run;
    },
  );
}

function runsOf(
  lifecycle: RequestLifecycle,
  source: () => Observable<unknown>,
  startRun: () => ExecutionScope,
): Observable<unknown> {
  return new Observable((subscriber) => {
    const run = startRun();
    const settle = () => lifecycle.settleHandler(run);
    // Settles even if an Observable of another library throws at its subscription.
    subscriber.add(settle);
    const subscription = runInScope(run, () =>
      source().subscribe({
        next: (value) => subscriber.next(value),
        error: (error) => {
          settle();
          subscriber.error(error);
        },
        complete: () => {
          settle();
          subscriber.complete();
        },
      }),
    );
    return () => {
      subscription.unsubscribe();
    };
  });
}

/** A thenable as a promise. It is a lazy query of some libraries, which runs when, and each time that, `then()` is called. */
function asPromise(value: unknown): unknown {
  const thenable = value as { then?: unknown } | null | undefined;
  return value instanceof Promise || typeof thenable?.then !== 'function' ? value : Promise.resolve(value);
}
