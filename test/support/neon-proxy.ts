import { connect, createServer } from 'node:net';
import type { AddressInfo, Server, Socket } from 'node:net';
import { TLSSocket, createSecureContext } from 'node:tls';
import { once } from 'node:events';

/** What the proxy does with the next connections. */
type Answer = { kind: 'pass'; afterMs: number } | { kind: 'error'; message: string; code: string };

const SSL_REQUEST = 80877103;

/**
 * An imitation of Neon's proxy in front of a real PostgreSQL. It requires TLS and the name of an endpoint (by SNI, or by
 * `endpoint=…` in the options), lets the client wait while a compute wakes up, sends Neon's error messages, and closes all
 * connections when the compute is suspended.
 */
export async function startNeonProxy(target: {
  port: number;
  cert: string;
  key: string;
}): Promise<NeonProxy> {
  const proxy = new NeonProxy(target);
  await proxy.listen();
  return proxy;
}

export class NeonProxy {
  private readonly server: Server;
  private readonly sockets = new Set<Socket>();
  private answers: Answer[] = [];
  /** The requested endpoints, one per login. */
  readonly endpoints: string[] = [];

  constructor(private readonly target: { port: number; cert: string; key: string }) {
    this.server = createServer((socket) => {
      void this.welcome(socket).catch(() => socket.destroy());
    });
  }

  get port(): number {
    return (this.server.address() as AddressInfo).port;
  }

  async listen(): Promise<void> {
    this.server.listen(0, '127.0.0.1');
    await once(this.server, 'listening');
  }

  /** The next login waits `afterMs` for its compute. */
  wakes(afterMs: number): void {
    this.answers.push({ kind: 'pass', afterMs });
  }

  /** The next `times` logins are refused with this message. */
  refuses(message: string, times = 1, code = 'XX000'): void {
    for (let i = 0; i < times; i++) this.answers.push({ kind: 'error', message, code });
  }

  /** Suspends the compute: closes every connection. */
  suspend(): void {
    for (const socket of this.sockets) socket.destroy();
  }

  async close(): Promise<void> {
    const closed = once(this.server, 'close');
    this.server.close();
    this.suspend();
    await closed;
  }

  private track(socket: Socket): void {
    this.sockets.add(socket);
    socket.on('error', () => undefined).once('close', () => this.sockets.delete(socket));
  }

  private async welcome(raw: Socket): Promise<void> {
    this.track(raw);
    const first = await packet(raw);
    if (first.readInt32BE(4) !== SSL_REQUEST)
      return refuse(raw, 'connection is insecure (try using `sslmode=require`)', 'XX000');
    raw.write('S');
    const tls = new TLSSocket(raw, {
      isServer: true,
      secureContext: createSecureContext({ cert: this.target.cert, key: this.target.key }),
      // Accepts every name, so that it can be read.
      SNICallback: (_name, done) => done(null),
    });
    this.track(tls);
    const startup = await packet(tls);
    const endpoint = endpointOf((tls as { servername?: string | false }).servername, startup);
    if (!endpoint) return refuse(tls, 'Endpoint ID is not specified.', 'XX000');
    this.endpoints.push(endpoint);
    const answer = this.answers.shift() ?? { kind: 'pass', afterMs: 0 };
    if (answer.kind === 'error') return refuse(tls, answer.message, answer.code);
    setTimeout(() => this.join(tls, withoutEndpoint(startup)), answer.afterMs);
  }

  private join(client: Socket, startup: Buffer): void {
    const server = connect(this.target.port, '127.0.0.1');
    this.track(server);
    server.write(startup);
    client.pipe(server).pipe(client);
    client.once('close', () => server.destroy());
    server.once('close', () => client.destroy());
  }
}

/** Reads a packet without a type, as the first ones of the protocol: its length and its content. */
async function packet(socket: Socket): Promise<Buffer> {
  let bytes = Buffer.alloc(0);
  while (bytes.length < 4 || bytes.length < bytes.readInt32BE(0)) {
    const [more] = (await once(socket, 'data')) as [Buffer];
    bytes = Buffer.concat([bytes, more]);
  }
  socket.pause();
  return bytes;
}

function parametersOf(startup: Buffer): string[] {
  return startup.subarray(8).toString().split('\0');
}

function endpointOf(servername: string | false | undefined, startup: Buffer): string | undefined {
  if (servername && servername.includes('.')) return servername.split('.')[0];
  const parameters = parametersOf(startup);
  const options = parameters[parameters.indexOf('options') + 1] ?? '';
  return parameters.includes('options') ? /endpoint=(\S+)/.exec(options)?.[1] : undefined;
}

/** Removes the option, as Neon's proxy does: PostgreSQL does not know it. */
function withoutEndpoint(startup: Buffer): Buffer {
  const parameters = parametersOf(startup).map((text) => text.replace(/endpoint=\S+\s*/, ''));
  const body = Buffer.concat([startup.subarray(4, 8), Buffer.from(parameters.join('\0'))]);
  const length = Buffer.alloc(4);
  length.writeInt32BE(body.length + 4);
  return Buffer.concat([length, body]);
}

function refuse(socket: Socket, message: string, code: string): void {
  const fields = Buffer.from(`SERROR\0VERROR\0C${code}\0M${message}\0\0`);
  const head = Buffer.alloc(5);
  head.write('E');
  head.writeInt32BE(fields.length + 4, 1);
  socket.end(Buffer.concat([head, fields]));
}
