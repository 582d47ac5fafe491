import { Injectable } from '@nestjs/common';
import type { CallHandler, ExecutionContext, NestInterceptor } from '@nestjs/common';
import { Observable } from 'rxjs';
import { runInScope } from '../data-source/execution-scope.js';
import { isHttp, nameOf, responseOf } from './http/http-request.js';
import type { HttpRequest } from './http/http-request.js';
import type { RequestLifecycle } from './request-lifecycle.js';
import { RequestTracker } from './request-tracker.js';

/** Runs each handler of an HTTP request in a scope of its own, and reports when it settles. */
@Injectable()
export class HandlerScopeInterceptor implements NestInterceptor {
  readonly #tracker: RequestTracker;

  constructor(tracker: RequestTracker) {
    this.#tracker = tracker;
  }

  intercept(context: ExecutionContext, next: CallHandler): Observable<unknown> {
    if (context.getType() !== 'http') return next.handle();
    const http = context.switchToHttp();
    const request: unknown = http.getRequest();
    const response = responseOf(http.getResponse());
    // Modules with a transport of their own use the context type 'http', too.
    if (!isHttp(request) || !response) return next.handle();
    return runHandler(this.#tracker.lifecycle(request, response), request, next);
  }
}

/**
 * Starts one run of the handler for each subscription. Nest binds the handler to the asynchronous context in which `handle()` is called.
 * The run settles before its outcome is passed on: after an error, an interceptor around this one may retry the handler immediately.
 */
function runHandler(
  lifecycle: RequestLifecycle,
  request: HttpRequest,
  next: CallHandler,
): Observable<unknown> {
  return new Observable((subscriber) => {
    const run = lifecycle.startHandler(() => nameOf(request));
    const handling = runInScope(run, () =>
      next.handle().subscribe({
        next: (value) => subscriber.next(value),
        error: (error) => {
          lifecycle.settleHandler(run);
          subscriber.error(error);
        },
        complete: () => {
          lifecycle.settleHandler(run);
          subscriber.complete();
        },
      }),
    );
    return () => {
      handling.unsubscribe();
      lifecycle.settleHandler(run);
    };
  });
}
