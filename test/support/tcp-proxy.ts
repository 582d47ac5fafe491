import { EventEmitter, once } from 'node:events';
import { connect, createServer } from 'node:net';
import type { Server, Socket } from 'node:net';
import { freePort } from './ports.js';

export type Direction = 'to-server' | 'to-client';

/** What happens to the bytes of a connection. */
type Flow =
  | { kind: 'pass' }
  | { kind: 'delay'; ms: number }
  /** Neither side hears anything of the other, not even that it has gone. */
  | { kind: 'frozen' }
  /** The client's next byte is answered by a reset. */
  | { kind: 'forgotten' };

interface ProxyEvents {
  /** A client has been accepted. */
  connection: [ProxiedConnection];
  /** Bytes have arrived and are about to be passed on: freezing the connection now still holds them. */
  data: [ProxiedConnection, Direction, Buffer];
  /** A connection is over on the client's side. */
  close: [ProxiedConnection];
}

/** A TCP proxy in front of a server that can fail in the ways networks do. */
export async function startTcpProxy(target: { port: number; host?: string }): Promise<TcpProxy> {
  const proxy = new TcpProxy(target.host ?? '127.0.0.1', target.port);
  await proxy.listen();
  return proxy;
}

export class TcpProxy extends EventEmitter<ProxyEvents> {
  private readonly open = new Set<ProxiedConnection>();
  private server: Server | undefined;
  private listeningPort = 0;
  private flow: Flow = { kind: 'pass' };
  private resetting = false;
  private accepted = 0;

  constructor(
    private readonly targetHost: string,
    private readonly targetPort: number,
  ) {
    super();
  }

  get port(): number {
    return this.listeningPort;
  }

  /** The connections that are open now, the oldest first. */
  get connections(): ProxiedConnection[] {
    for (const connection of this.open) if (connection.over) this.open.delete(connection);
    return [...this.open];
  }

  /** How many connections were ever accepted. */
  get total(): number {
    return this.accepted;
  }

  /** The same URL, by way of this proxy. */
  through(url: string): string {
    const changed = new URL(url);
    changed.hostname = '127.0.0.1';
    changed.port = String(this.port);
    return changed.href;
  }

  /** All is well again, and what was held goes on; also listens again after `refuse()`. */
  async pass(): Promise<void> {
    this.resetting = false;
    this.setFlow({ kind: 'pass' });
    if (!this.server) await this.listen();
  }

  /** Every byte arrives this much later, in both directions. */
  delay(ms: number): void {
    this.setFlow({ kind: 'delay', ms });
  }

  /** The network stands still: connections are accepted, bytes taken and held until `pass()`. */
  freeze(): void {
    this.setFlow({ kind: 'frozen' });
  }

  /** Every connection is reset now, and new ones as soon as they say something, until `pass()`. */
  reset(): void {
    this.resetting = true;
    for (const connection of this.connections) connection.reset();
  }

  /** Whoever is connected has been forgotten, as by a firewall that lost its table; new connections work. */
  forget(): void {
    for (const connection of this.connections) connection.forget();
  }

  /** Nobody listens any more: new connections are refused, the open ones go on. */
  async refuse(): Promise<void> {
    const { server } = this;
    if (!server) return;
    this.server = undefined;
    // Its 'close' would wait for the open connections; it stops listening at once.
    server.close();
  }

  /** Ends everything. */
  async close(): Promise<void> {
    await this.refuse();
    this.resetting = true;
    await Promise.all(
      this.connections.map((connection) => {
        connection.reset();
        return connection.closed;
      }),
    );
  }

  async listen(): Promise<void> {
    for (let attempt = 1; ; attempt += 1) {
      const port = this.listeningPort || (await freePort());
      const server = createServer({ allowHalfOpen: true }, (client) => this.accept(client));
      try {
        server.listen({ port, host: '127.0.0.1', exclusive: true });
        await once(server, 'listening');
      } catch (error) {
        // Taken since it was chosen: another one will do, but not once clients know the port.
        if (this.listeningPort !== 0 || attempt === 10) throw error;
        continue;
      }
      this.listeningPort = port;
      this.server = server;
      return;
    }
  }

  private accept(client: Socket): void {
    this.accepted += 1;
    const flow: Flow = this.resetting ? { kind: 'forgotten' } : this.flow;
    const connection = new ProxiedConnection(
      this.accepted,
      client,
      () => connect({ port: this.targetPort, host: this.targetHost, allowHalfOpen: true }),
      flow,
      (direction, chunk) => this.emit('data', connection, direction, chunk),
    );
    this.open.add(connection);
    void connection.closed.then(() => this.emit('close', connection));
    this.emit('connection', connection);
  }

  private setFlow(flow: Flow): void {
    this.flow = flow;
    for (const connection of this.connections) connection.setFlow(flow);
  }
}

/** One client's connection through the proxy. */
export class ProxiedConnection {
  /** Bytes that have been passed on. */
  readonly bytes: Record<Direction, number> = { 'to-server': 0, 'to-client': 0 };
  /** Resolves when the client's side is over. */
  readonly closed: Promise<void>;
  private upstream: Socket | undefined;
  private pipes: Pipe[] = [];
  private forgotten = false;
  /** What one side should hear of the other as soon as the network moves again. */
  private news: (() => void)[] = [];

  constructor(
    /** 1 for the first connection that the proxy accepted. */
    readonly id: number,
    private readonly client: Socket,
    private readonly dial: () => Socket,
    private flow: Flow,
    private readonly onData: (direction: Direction, chunk: Buffer) => void,
  ) {
    client.setNoDelay();
    client.on('error', () => undefined);
    // A reset of a socket whose other side has just gone ends in 'error' alone: Node emits no 'close' then.
    this.closed = new Promise((resolve) =>
      client.once('close', () => resolve()).once('error', () => resolve()),
    );
    this.setFlow(flow);
  }

  /** Whether neither side is open any more. */
  get over(): boolean {
    return this.client.destroyed && (this.upstream?.destroyed ?? true);
  }

  freeze(): void {
    this.setFlow({ kind: 'frozen' });
  }

  pass(): void {
    this.setFlow({ kind: 'pass' });
  }

  delay(ms: number): void {
    this.setFlow({ kind: 'delay', ms });
  }

  /** Resets both sides now. */
  reset(): void {
    this.client.resetAndDestroy();
    this.upstream?.resetAndDestroy();
  }

  /** The server's side ends; the client hears of it only when it says something, and then by a reset. */
  forget(): void {
    this.setFlow({ kind: 'forgotten' });
  }

  setFlow(flow: Flow): void {
    if (this.forgotten) return;
    this.flow = flow;
    if (flow.kind === 'forgotten') {
      this.forgotten = true;
      for (const pipe of this.pipes) pipe.abandon();
      this.upstream?.destroy();
      this.client.once('data', () => this.client.resetAndDestroy()).once('end', () => this.client.destroy());
      this.client.resume();
      return;
    }
    if (flow.kind !== 'frozen') {
      // On a network that stands still the server does not hear of new clients, so it is called only now.
      if (!this.upstream && !this.client.destroyed) this.connectUpstream();
      for (const tell of this.news.splice(0)) tell();
    }
    for (const pipe of this.pipes) pipe.setFlow(flow);
  }

  private connectUpstream(): void {
    const { client } = this;
    const upstream = this.dial();
    this.upstream = upstream;
    upstream.setNoDelay();
    // A side that fails, or a server that is not there, is a reset for the other side.
    upstream.on('error', () => this.hear(() => client.resetAndDestroy()));
    client.on('error', () => this.hear(() => upstream.resetAndDestroy()));
    this.pipes = [this.pipe(client, upstream, 'to-server'), this.pipe(upstream, client, 'to-client')];
  }

  private hear(tell: () => void): void {
    if (this.flow.kind === 'frozen') this.news.push(tell);
    else if (!this.forgotten) tell();
  }

  private pipe(from: Socket, to: Socket, direction: Direction): Pipe {
    return new Pipe(from, to, this.flow, {
      arrived: (chunk) => this.onData(direction, chunk),
      passed: (length) => (this.bytes[direction] += length),
    });
  }
}

/** The bytes of one direction, in order, each held until its time has come. `null` is their end. */
class Pipe {
  private readonly held: { chunk: Buffer | null; due: number }[] = [];
  private timer: NodeJS.Timeout | undefined;
  private abandoned = false;

  constructor(
    private readonly from: Socket,
    private readonly to: Socket,
    private flow: Flow,
    private readonly tell: { arrived: (chunk: Buffer) => void; passed: (length: number) => void },
  ) {
    from.on('data', (chunk: Buffer) => {
      if (this.abandoned) return;
      tell.arrived(chunk);
      this.hold(chunk);
    });
    from.on('end', () => this.hold(null));
    this.setFlow(flow);
  }

  setFlow(flow: Flow): void {
    this.flow = flow;
    // Paused, so that not even the end of a side is noticed; what was read before is held.
    if (flow.kind === 'frozen') this.from.pause();
    else this.from.resume();
    this.send();
  }

  abandon(): void {
    this.abandoned = true;
    this.held.length = 0;
    clearTimeout(this.timer);
  }

  private hold(chunk: Buffer | null): void {
    if (this.abandoned) return;
    this.held.push({ chunk, due: Date.now() + (this.flow.kind === 'delay' ? this.flow.ms : 0) });
    this.send();
  }

  private send(): void {
    clearTimeout(this.timer);
    while (this.flow.kind !== 'frozen' && this.held[0]) {
      const wait = this.flow.kind === 'delay' ? this.held[0].due - Date.now() : 0;
      if (wait > 0) {
        this.timer = setTimeout(() => this.send(), wait);
        return;
      }
      const { chunk } = this.held.shift() ?? { chunk: null };
      if (this.to.destroyed) continue;
      if (chunk === null) this.to.end();
      else {
        this.to.write(chunk);
        this.tell.passed(chunk.length);
      }
    }
  }
}
