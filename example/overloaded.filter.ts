import { Catch, Logger } from '@nestjs/common';
import type { ArgumentsHost, ExceptionFilter } from '@nestjs/common';
import { PoolError } from 'nestjs-database';

interface Response {
  status(code: number): Response;
  header(name: string, value: string): Response;
  json(body: object): void;
}

/** Answers 503 with `Retry-After` when the pool has no connection, because the next attempt may succeed. */
@Catch(PoolError)
export class OverloadedFilter implements ExceptionFilter {
  private readonly logger = new Logger(OverloadedFilter.name);

  catch(error: PoolError, host: ArgumentsHost): void {
    this.logger.warn(error.message);
    host
      .switchToHttp()
      .getResponse<Response>()
      .status(503)
      .header('Retry-After', '1')
      .json({ statusCode: 503, error: 'Service Unavailable', message: 'The database is busy, try again' });
  }
}
