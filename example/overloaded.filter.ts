import { Catch, Logger } from '@nestjs/common';
import type { ArgumentsHost, ExceptionFilter } from '@nestjs/common';
import { PoolError } from 'nestjs-database';

interface Response {
  status(code: number): Response;
  header(name: string, value: string): Response;
  json(body: object): void;
}

/** No connection was to be had: not the client's fault and soon over, so that it is told to come again. */
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
