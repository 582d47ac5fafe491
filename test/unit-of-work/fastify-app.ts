import {
  Catch,
  Controller,
  Get,
  Injectable,
  Module,
  Param,
  Res,
  UseFilters,
  UseGuards,
} from '@nestjs/common';
import type {
  ArgumentsHost,
  ExceptionFilter,
  MiddlewareConsumer,
  NestMiddleware,
  NestModule,
} from '@nestjs/common';
import { DatabaseModule, InjectQueryRunner } from 'nestjs-database';
import type { QueryRunner } from 'typeorm';
import { QueryingGuard, QueryingPipe, seen } from './enhancers.js';

@Catch()
@Injectable()
class QueryingFilter implements ExceptionFilter {
  constructor(@InjectQueryRunner() private readonly runner: QueryRunner) {}
  async catch(_error: unknown, host: ArgumentsHost): Promise<void> {
    const rows: unknown = await this.runner.query('SELECT now() = statement_timestamp() AS outside');
    host.switchToHttp().getResponse().status(418).send(rows);
  }
}

/** Acquires a connection, and answers the request itself if its path says so. */
@Injectable()
class QueryingMiddleware implements NestMiddleware {
  constructor(@InjectQueryRunner() private readonly runner: QueryRunner) {}
  async use(request: { originalUrl: string }, response: any, next: () => void): Promise<void> {
    await this.runner.query('SELECT 1');
    if (request.originalUrl.endsWith('answering')) response.end('by the middleware');
    else next();
  }
}

@Controller()
class ScenarioController {
  constructor(@InjectQueryRunner() private readonly runner: QueryRunner) {}

  @Get('quick')
  quick() {
    return this.runner.query('SELECT 1 AS one');
  }

  @Get('guarded')
  @UseGuards(QueryingGuard)
  guarded() {}

  @Get('piped/:value')
  piped(@Param('value', QueryingPipe) value: string) {
    return value;
  }

  @Get('filtered')
  @UseFilters(QueryingFilter)
  async filtered() {
    await this.runner.startTransaction();
    throw new Error('for the filter');
  }

  @Get('middleware/answering')
  answering() {}

  /** The middleware acquires a connection, then a guard without one refuses the request. */
  @Get('middleware/refused')
  @UseGuards({ canActivate: () => false })
  refused() {}

  @Get('outliving')
  async outliving(@Res() response: any) {
    response.send('early');
    await new Promise((resolve) => response.raw.once('close', resolve));
    await this.runner.query('SELECT 1');
    seen.push('outlived');
  }

  @Get('waiting')
  async waiting() {
    seen.push('waiting began');
    try {
      return await this.runner.query('SELECT 1');
    } catch (error) {
      seen.push(`waiting ended by ${(error as { code: string }).code}`);
      throw error;
    }
  }
}

/** An app in which requests end at every possible place. DB_URL is the URL of its database. */
@Module({
  imports: [
    DatabaseModule.forRoot({
      applicationName: 'request-end-fastify',
      pool: { size: 2, maxOverflow: 0, acquireTimeoutMs: 10_000 },
    }),
  ],
  controllers: [ScenarioController],
})
export class AppModule implements NestModule {
  configure(consumer: MiddlewareConsumer): void {
    consumer.apply(QueryingMiddleware).forRoutes('middleware/*path');
  }
}
