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

/** Selects, by `instanceof`, the errors that the filter has an answer to: Nest treats all others as if it were not there. */
abstract class AnsweredError {
  static [Symbol.hasInstance](error: unknown): boolean {
    return httpAnswerOf(error) !== undefined || mayFollowDisconnect(error);
  }
}

/**
 * Answers requests that fail for want of a connection or of the database. Nest asks global filters in the reverse order of
 * their registration; this one registers itself before any other can, so that it is asked last.
 */
@Injectable()
@Catch(AnsweredError)
export class HttpErrorsFilter implements ExceptionFilter {
  readonly #adapterHost: HttpAdapterHost;
  readonly #logger = new Logger('DatabaseRequest');
  readonly #repeats = new LogThrottle();
  /** Whether a data source answers by its errors. */
  #on = false;

  constructor(config: ApplicationConfig, adapterHost: HttpAdapterHost) {
    this.#adapterHost = adapterHost;
    config.getGlobalFilters().unshift(this);
  }

  /** Takes note of the option of a data source. */
  register(dataSource: DataSource): void {
    if (dataSource instanceof ManagedDataSource && dataSource.settings.httpErrors) this.#on = true;
  }

  catch(exception: Error, host: ArgumentsHost): void | null {
    // Null leaves the error of a message or a resolver to what Nest has for it.
    if (host.getType() !== 'http') return null;
    const { httpAdapter } = this.#adapterHost;
    const request = host.switchToHttp().getRequest<HttpRequest>();
    const response: unknown = host.switchToHttp().getResponse();
    const answer = httpAnswerOf(exception);
    const on = httpErrorsOf(exception) ?? this.#on;
    if (hasGone(request, response)) this.#debug(request, 'has no client any more', exception);
    else if (answer && on) this.#note(request, answer, exception);
    else return new BaseExceptionFilter(httpAdapter).catch(exception, host);
    reply(httpAdapter, response, answer);
  }

  #note(request: HttpRequest, { exception }: HttpAnswer, error: Error): void {
    const what = `was answered with ${exception.getStatus()}`;
    this.#debug(request, what, error);
    // No line of the pool tells of a slow statement.
    if (exception.getStatus() !== 504) return;
    const more = this.#repeats.admit(nameOf(request));
    if (more === undefined) return;
    const sql = error instanceof QueryFailedError ? `, SQL ${shortSql(error.query)}` : '';
    this.#logger.warn(`${nameOf(request)} ${what}: ${error.message}${sql}.${suppressedNote(more)}`);
  }

  #debug(request: HttpRequest, what: string, error: Error): void {
    // The text of a stack costs more than the answer.
    if (Logger.isLevelEnabled('debug')) this.#logger.debug(`${nameOf(request)} ${what}: ${inspect(error)}`);
  }
}

function reply(adapter: AbstractHttpAdapter, response: unknown, answer: HttpAnswer | undefined): void {
  if (adapter.isHeadersSent(response)) {
    adapter.end(response);
    return;
  }
  if (answer?.retryAfter !== undefined) adapter.setHeader(response, 'Retry-After', String(answer.retryAfter));
  // Without an answer nothing reads it.
  const status = answer?.exception.getStatus() ?? 503;
  adapter.reply(response, answer?.exception.getResponse() ?? '', status);
}

/** Whether the client has left before it was answered. */
function hasGone(request: HttpRequest, given: unknown): boolean {
  const response = responseOf(given);
  if (!response || response.writableEnded) return false;
  // A response that is queued behind another one, for requests sent ahead, does not close with its socket.
  return response.destroyed || messageOf(request).socket?.destroyed === true;
}
