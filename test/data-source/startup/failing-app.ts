import 'reflect-metadata';
import diagnostics from 'node:diagnostics_channel';
import { Module } from '@nestjs/common';
import { NestFactory } from '@nestjs/core';
import { DatabaseModule } from 'nestjs-database';

/**
 * Starts an app that fails in the way that the first argument names, and prints what is left. Nothing here ends the
 * process: it must end by itself.
 */
const [how, url, closedUrl] = process.argv.slice(2) as [string, string, string];

const failing = {
  provide: 'failing',
  // After the data source has connected.
  useFactory: () =>
    new Promise((_, reject) => setTimeout(() => reject(new Error('this provider fails')), 500)),
};
const retried = DatabaseModule.forRoot({ url: closedUrl, name: 'retried', connectRetry: { retries: 20 } });
const refused = DatabaseModule.forRoot({
  url: url.replace(/\/[^/]*$/, '/missing_database'),
  name: 'refused',
});

@Module(
  how === 'provider'
    ? { imports: [DatabaseModule.forRoot({ url })], providers: [failing] }
    : { imports: [DatabaseModule.forRoot({ url }), retried, refused] },
)
class AppModule {}

const failure = await NestFactory.create(AppModule, { abortOnError: false, logger: false }).then(
  () => 'none',
  (error: Error) => error.message,
);
console.log(
  JSON.stringify({ failure, subscribed: diagnostics.channel('http.server.request.start').hasSubscribers }),
);
