import { afterAll, afterEach, beforeAll, describe, expect, it } from '@jest/globals';
import { DatabaseHealthModule, DatabaseModule } from 'nestjs-database';
import type { DatabaseModuleOptions } from 'nestjs-database';
import { createTestDatabase } from '../../support/database.js';
import type { TestDatabase } from '../../support/database.js';
import { Order, User } from '../../support/entities.js';
import { startHttpApp } from '../../support/http-app.js';
import type { HttpApp } from '../../support/http-app.js';
import { startTcpProxy } from '../../support/tcp-proxy.js';
import type { TcpProxy } from '../../support/tcp-proxy.js';

describe('The start of an app', () => {
  let database: TestDatabase;
  let proxy: TcpProxy;
  let app: HttpApp | undefined;
  let sent: Buffer[] = [];

  beforeAll(async () => {
    database = await createTestDatabase();
    proxy = await startTcpProxy({ port: Number(new URL(database.url).port) });
    proxy.on('data', (_connection, direction, chunk) => {
      if (direction === 'to-server') sent.push(chunk);
    });
  });
  afterEach(async () => {
    await app?.close();
    app = undefined;
  });
  afterAll(async () => {
    await proxy?.close();
    await database?.drop();
  });

  /** Starts an app, and lists the types of the messages that its connection has sent after the startup packet. */
  const messagesOf = async (options: DatabaseModuleOptions): Promise<string> => {
    sent = [];
    const before = proxy.total;
    app = await startHttpApp({
      imports: [
        DatabaseModule.forRoot({ url: proxy.through(database.url), ...options }),
        DatabaseModule.forFeature([User, Order]),
        DatabaseHealthModule,
      ],
    });
    expect(proxy.total - before).toBe(1);
    return frontendMessages(Buffer.concat(sent));
  };

  // A login by SCRAM has two messages. Parse, Bind, Describe, Execute and Sync are sent at once and have one answer.
  const ONE_STATEMENT = /^p{2}PBDES$/;

  it('sends one statement in one round trip after the login', async () => {
    expect(await messagesOf({})).toMatch(ONE_STATEMENT);
  });

  it.each<[string, DatabaseModuleOptions]>([
    ['entities', { autoLoadEntities: true }],
    ['settings of the session', { session: { search_path: 'public', work_mem: '8MB' }, schema: 'public' }],
    ['time limits', { timeouts: { statementMs: 12_000, lockMs: 3_000 }, applicationName: 'app' }],
    ['a query log', { logging: true, maxQueryExecutionTime: 1_000 }],
  ])('sends no further one for %s', async (_what, options) => {
    expect(await messagesOf(options)).toMatch(ONE_STATEMENT);
  });
});

/** The types of the messages that a client has sent: the first message has none, a password is `p`. */
function frontendMessages(bytes: Buffer): string {
  let types = '';
  for (let at = bytes.readInt32BE(0); at < bytes.length; at += 1 + bytes.readInt32BE(at + 1))
    types += String.fromCharCode(bytes[at]!);
  return types;
}
