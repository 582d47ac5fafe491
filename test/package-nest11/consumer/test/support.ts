import { connect, createServer, type AddressInfo, type Server, type Socket } from 'node:net';
import type { INestApplication, LoggerService, ModuleMetadata } from '@nestjs/common';
import { Test, type TestingModule } from '@nestjs/testing';
import { Client } from 'pg';

/** The database that was created for these tests: the URL of its owner, and that of a superuser. */
export const url = fromEnvironment('DB_URL');
const superuserUrl = fromEnvironment('SUPERUSER_URL');

function fromEnvironment(name: string): string {
  const value = process.env[name];
  if (value === undefined) throw new Error(`${name} is not set`);
  return value;
}

/** Runs one statement as superuser on a new connection. */
export async function sql(text: string): Promise<any[]> {
  const client = new Client(superuserUrl);
  await client.connect();
  try {
    return (await client.query(text)).rows;
  } finally {
    await client.end();
  }
}

/** Creates an empty table of this name for the owner of the database. */
export async function emptyTable(name: string, columns: string): Promise<void> {
  await sql(
    `DROP TABLE IF EXISTS ${name}; CREATE TABLE ${name} (${columns}); ALTER TABLE ${name} OWNER TO app`,
  );
}

/** The error that a promise rejects with. */
export async function failure(work: Promise<unknown>): Promise<any> {
  try {
    await work;
  } catch (error) {
    return error;
  }
  throw new Error('It did not fail.');
}

/** The log of Nest as lines. */
export class Lines implements LoggerService {
  readonly lines: string[] = [];
  private readonly keep = (...parts: unknown[]) => void this.lines.push(parts.map(String).join(' '));
  readonly log = this.keep;
  readonly warn = this.keep;
  readonly error = this.keep;
  readonly debug = this.keep;
}

export interface Started {
  readonly module: TestingModule;
  readonly log: string[];
}

export async function start(metadata: ModuleMetadata): Promise<Started> {
  const logger = new Lines();
  const module = await Test.createTestingModule(metadata).setLogger(logger).compile();
  await module.init();
  return { module, log: logger.lines };
}

export interface Http {
  readonly app: INestApplication;
  readonly log: string[];
  fetch(path: string, body?: object): Promise<{ status: number; body: any }>;
}

/** An app on Express and a free port; with a body the request is a POST. */
export async function startHttp(metadata: ModuleMetadata): Promise<Http> {
  const logger = new Lines();
  const module = await Test.createTestingModule(metadata).setLogger(logger).compile();
  const app = module.createNestApplication();
  await app.listen(0, '127.0.0.1');
  const { port } = (app.getHttpServer() as Server).address() as AddressInfo;
  return {
    app,
    log: logger.lines,
    fetch: async (path, body) => {
      const response = await fetch(`http://127.0.0.1:${port}${path}`, {
        ...(body && { method: 'POST', body: JSON.stringify(body) }),
        headers: { 'content-type': 'application/json' },
      });
      return { status: response.status, body: await response.json() };
    },
  };
}

/** A TCP proxy before the database, which can be closed and opened again. */
export class Gate {
  private readonly sockets = new Set<Socket>();
  private server: Server | undefined;
  private port = 0;

  async open(): Promise<void> {
    const target = new URL(url);
    const server = createServer((client) => {
      const database = connect(Number(target.port), target.hostname);
      for (const [socket, other] of [
        [client, database],
        [database, client],
      ] as const) {
        this.sockets.add(socket);
        socket.pipe(other);
        socket.on('error', () => undefined).on('close', () => other.destroy());
      }
    });
    await new Promise<void>((resolve) => server.listen(this.port, '127.0.0.1', resolve));
    this.port = (server.address() as AddressInfo).port;
    this.server = server;
  }

  get url(): string {
    const through = new URL(url);
    through.host = `127.0.0.1:${this.port}`;
    return through.href;
  }

  /** Destroys all connections and refuses new ones. */
  async close(): Promise<void> {
    const { server } = this;
    this.server = undefined;
    for (const socket of this.sockets) socket.destroy();
    this.sockets.clear();
    if (server) await new Promise((resolve) => server.close(resolve));
  }
}
