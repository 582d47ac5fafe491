import { once } from 'node:events';
import { connect, createServer } from 'node:net';
import type { AddressInfo, Server, Socket } from 'node:net';
import { TLSSocket } from 'node:tls';
import type { TlsOptions } from 'node:tls';

/** What stands between client and server does with the client's question for TLS. */
export type Attack =
  /** Says that there is none, and passes the rest on in plain text. */
  | 'deny'
  /** Says that there is, and answers what comes in plain text, as a server that lets in. */
  | 'strip'
  /** Answers with an error of a server, which knows no such question. */
  | 'error'
  /** Says that there is, with plain text of its own behind the answer, to be taken for the server's. */
  | 'inject'
  /** Takes both sides' parts in TLS, with a certificate of its own, and reads along. */
  | 'impersonate';

const SSL_REQUEST = Buffer.from([0, 0, 0, 8, 0x04, 0xd2, 0x16, 0x2f]);

/** Between a client and a PostgreSQL on 127.0.0.1, to whom it speaks plain text. */
export class ManInTheMiddle {
  /** What he could read of the client. */
  heard = '';
  /** How often a client asked whether there is TLS, in plain text. */
  questions = 0;
  /** The name that the client asked for in TLS, and the protocols that it offered. */
  readonly asked: { servername: string | false | undefined; alpn: string | false | null }[] = [];
  private readonly sockets = new Set<Socket>();

  private constructor(
    private readonly server: Server,
    private readonly target: number,
    private readonly attack: Attack,
    private readonly tls: TlsOptions,
  ) {
    server.on('connection', (socket) => void this.meet(socket));
  }

  static async before(target: number, attack: Attack, tls: TlsOptions = {}): Promise<ManInTheMiddle> {
    const server = createServer();
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
    return new ManInTheMiddle(server, target, attack, tls);
  }

  get port(): number {
    return (this.server.address() as AddressInfo).port;
  }

  through(url: string): string {
    return url.replace(/:\d+\//, `:${this.port}/`);
  }

  async close(): Promise<void> {
    for (const socket of this.sockets) socket.destroy();
    this.server.close();
    await once(this.server, 'close');
  }

  private async meet(client: Socket): Promise<void> {
    this.keep(client);
    const [first] = (await once(client, 'data').catch(() => [])) as [Buffer?];
    if (!first) return;
    // A client that begins TLS directly has said its hello.
    if (first[0] === 0x16) {
      client.pause();
      client.unshift(first);
      return this.impersonate(client);
    }
    if (!first.equals(SSL_REQUEST)) return this.passOn(client, first);
    this.questions += 1;
    if (this.attack === 'error') return void client.end('E\0\0\0\x1dSFATAL\0C08P01\0Mwhat?\0\0');
    if (this.attack === 'inject') return void client.write('SR\0\0\0\x08\0\0\0\0');
    client.write(this.attack === 'deny' ? 'N' : 'S');
    if (this.attack === 'impersonate') this.impersonate(client);
    else if (this.attack === 'deny') this.passOn(client);
    else
      client.on('data', (bytes: Buffer) => {
        this.heard += bytes.toString('latin1');
        client.write('R\0\0\0\x08\0\0\0\0Z\0\0\0\x05I');
      });
  }

  private impersonate(client: Socket): void {
    const secure = new TLSSocket(client, { isServer: true, ALPNProtocols: ['postgresql'], ...this.tls });
    secure.on('error', () => client.destroy());
    secure.once('secure', () => {
      this.asked.push({
        servername: (secure as TLSSocket & { servername?: string | false }).servername,
        alpn: secure.alpnProtocol,
      });
      this.passOn(secure);
    });
  }

  private passOn(client: Socket, first?: Buffer): void {
    const server = connect({ port: this.target, host: '127.0.0.1' });
    this.keep(server);
    const hear = (bytes: Buffer) => {
      this.heard += bytes.toString('latin1');
      server.write(bytes);
    };
    if (first) hear(first);
    client.on('data', hear).on('close', () => server.destroy());
    server.pipe(client);
  }

  private keep(socket: Socket): void {
    this.sockets.add(socket);
    socket.on('error', () => socket.destroy()).on('close', () => this.sockets.delete(socket));
  }
}
