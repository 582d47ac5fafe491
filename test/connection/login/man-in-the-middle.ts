import { once } from 'node:events';
import { connect, createServer } from 'node:net';
import type { AddressInfo, Server, Socket } from 'node:net';
import { TLSSocket } from 'node:tls';
import type { TlsOptions } from 'node:tls';

/** How a man in the middle answers the client's SSLRequest. */
export type Attack =
  /** Refuses TLS, and forwards the rest in plain text. */
  | 'deny'
  /** Accepts TLS, but goes on in plain text: answers as a server that requires no login. */
  | 'strip'
  /** Answers with an ErrorResponse, as a server before TLS support does. */
  | 'error'
  /** Accepts TLS, and appends plain text that the client might take for the server's (CVE-2021-23222). */
  | 'inject'
  /** Completes TLS with its own certificate, and reads what it forwards. */
  | 'impersonate';

const SSL_REQUEST = Buffer.from([0, 0, 0, 8, 0x04, 0xd2, 0x16, 0x2f]);

/** A man in the middle between a client and a PostgreSQL server on 127.0.0.1; it reaches the server in plain text. */
export class ManInTheMiddle {
  /** What it has read from the client, decrypted where it completes TLS. */
  received = '';
  /** How many clients have sent an SSLRequest. */
  sslRequests = 0;
  /** The server name (SNI) and the protocol (ALPN) of each TLS handshake. */
  readonly handshakes: { servername: string | false | undefined; alpn: string | false | null }[] = [];
  private readonly sockets = new Set<Socket>();

  private constructor(
    private readonly server: Server,
    private readonly serverPort: number,
    private readonly attack: Attack,
    private readonly tls: TlsOptions,
  ) {
    server.on('connection', (socket) => void this.handleClient(socket));
  }

  static async start(serverPort: number, attack: Attack, tls: TlsOptions = {}): Promise<ManInTheMiddle> {
    const server = createServer();
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
    return new ManInTheMiddle(server, serverPort, attack, tls);
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

  private async handleClient(client: Socket): Promise<void> {
    this.track(client);
    const [first] = (await once(client, 'data').catch(() => [])) as [Buffer?];
    if (!first) return;
    // ClientHello: the client starts TLS directly.
    if (first[0] === 0x16) {
      client.pause();
      client.unshift(first);
      return this.impersonate(client);
    }
    if (!first.equals(SSL_REQUEST)) return this.forwardToServer(client, first);
    this.sslRequests += 1;
    if (this.attack === 'error') return void client.end('E\0\0\0\x1dSFATAL\0C08P01\0Mwhat?\0\0');
    if (this.attack === 'inject') return void client.write('SR\0\0\0\x08\0\0\0\0');
    client.write(this.attack === 'deny' ? 'N' : 'S');
    if (this.attack === 'impersonate') this.impersonate(client);
    else if (this.attack === 'deny') this.forwardToServer(client);
    else
      client.on('data', (bytes: Buffer) => {
        this.received += bytes.toString('latin1');
        client.write('R\0\0\0\x08\0\0\0\0Z\0\0\0\x05I');
      });
  }

  private impersonate(client: Socket): void {
    const secure = new TLSSocket(client, { isServer: true, ALPNProtocols: ['postgresql'], ...this.tls });
    secure.on('error', () => client.destroy());
    secure.once('secure', () => {
      this.handshakes.push({
        servername: (secure as TLSSocket & { servername?: string | false }).servername,
        alpn: secure.alpnProtocol,
      });
      this.forwardToServer(secure);
    });
  }

  private forwardToServer(client: Socket, first?: Buffer): void {
    const server = connect({ port: this.serverPort, host: '127.0.0.1' });
    this.track(server);
    const forward = (bytes: Buffer) => {
      this.received += bytes.toString('latin1');
      server.write(bytes);
    };
    if (first) forward(first);
    client.on('data', forward).on('close', () => server.destroy());
    server.pipe(client);
  }

  private track(socket: Socket): void {
    this.sockets.add(socket);
    socket.on('error', () => socket.destroy()).on('close', () => this.sockets.delete(socket));
  }
}
