import { inspect } from 'node:util';
import { Catch, Injectable, Logger } from '@nestjs/common';
import type { ArgumentsHost, ExceptionFilter } from '@nestjs/common';
import { ApplicationConfig, BaseExceptionFilter, HttpAdapterHost } from '@nestjs/core';
import type { AbstractHttpAdapter } from '@nestjs/core';
import { QueryFailedError } from 'typeorm';
import type { DataSource } from 'typeorm';
import { ManagedDataSource } from '../../data-source/managed-data-source.js';
import { suppressedNote, LogThrottle } from '../../data-source/logging/log-throttle.js';
import { httpErrorsOf } from '../../errors/http-errors.js';
import { shortSql } from '../../text/masking.js';
import { httpAnswerOf, mayFollowDisconnect } from './http-answer.js';
import type { HttpAnswer } from './http-answer.js';
import { messageOf, nameOf, responseOf } from './http-request.js';
import type { HttpRequest } from './http-request.js';

/** Matches, by `instanceof`, the errors that the filter answers. Nest handles all others as if the filter did not exist. */
abstract class AnsweredError {
  static [Symbol.hasInstance](error: unknown): boolean {
    return httpAnswerOf(error) !== undefined || mayFollowDisconnect(error);
  }
}

/**
 * Answers requests that fail because the pool or the database is not available. Nest calls global filters in the reverse order of their
 * registration. This filter registers itself first, so that filters of the app take precedence.
 */
@Injectable()
@Catch(AnsweredError)
export class HttpErrorsFilter implements ExceptionFilter {
  readonly #adapterHost: HttpAdapterHost;
  readonly #logger = new Logger('DatabaseRequest');
  readonly #throttle = new LogThrottle();
  /** Whether a data source has `httpErrors` on. */
  #isEnabled = false;

  constructor(config: ApplicationConfig, adapterHost: HttpAdapterHost) {
    this.#adapterHost = adapterHost;
    config.getGlobalFilters().unshift(this);
  }

  /** Registers a data source and its option `httpErrors`. */
  register(dataSource: DataSource): void {
    if (dataSource instanceof ManagedDataSource && dataSource.settings.httpErrors) this.#isEnabled = true;
  }

  catch(exception: Error, host: ArgumentsHost): void | null {
    // With null, Nest itself handles the error of a message or a resolver.
    if (host.getType() !== 'http') return null;
    const { httpAdapter } = this.#adapterHost;
    const request = host.switchToHttp().getRequest<HttpRequest>();
    const response: unknown = host.switchToHttp().getResponse();
    const answer = httpAnswerOf(exception);
    const isEnabled = httpErrorsOf(exception) ?? this.#isEnabled;
    if (hasClientDisconnected(request, response))
      this.#debug(request, 'failed after its client had disconnected', exception);
    else if (answer && isEnabled) this.#logAnswer(request, answer, exception);
    else return new BaseExceptionFilter(httpAdapter).catch(exception, host);
    reply(httpAdapter, response, answer);
  }

  #logAnswer(request: HttpRequest, { exception }: HttpAnswer, error: Error): void {
    const what = `was answered with ${exception.getStatus()}`;
    this.#debug(request, what, error);
    // The pool logs outages and exhaustion, but no slow statement.
    if (exception.getStatus() !== 504) return;
    const suppressed = this.#throttle.admit(nameOf(request));
    if (suppressed === undefined) return;
    const sql = error instanceof QueryFailedError ? `, SQL ${shortSql(error.query)}` : '';
    this.#logger.warn(`${nameOf(request)} ${what}: ${error.message}${sql}.${suppressedNote(suppressed)}`);
  }

  #debug(request: HttpRequest, what: string, error: Error): void {
    // Formatting a stack costs more than the answer.
    if (Logger.isLevelEnabled('debug')) this.#logger.debug(`${nameOf(request)} ${what}: ${inspect(error)}`);
  }
}

function reply(adapter: AbstractHttpAdapter, response: unknown, answer: HttpAnswer | undefined): void {
  if (adapter.isHeadersSent(response)) {
    adapter.end(response);
    return;
  }
  if (answer?.retryAfter !== undefined) adapter.setHeader(response, 'Retry-After', String(answer.retryAfter));
  // Without an answer the client has disconnected, and nothing reads the status.
  const status = answer?.exception.getStatus() ?? 503;
  adapter.reply(response, answer?.exception.getResponse() ?? '', status);
}

/** Whether the client has disconnected before the answer was sent. */
function hasClientDisconnected(request: HttpRequest, given: unknown): boolean {
  const response = responseOf(given);
  if (!response || response.writableEnded) return false;
  // A response that is queued behind another one, for pipelined requests, does not close with its socket.
  return response.destroyed || messageOf(request).socket?.destroyed === true;
}
