import { EventEmitter, once } from 'node:events';
import { connect, createServer } from 'node:net';
import type { Server, Socket } from 'node:net';
import { freePort } from './ports.js';

export type Direction = 'to-server' | 'to-client';

/** What happens to the bytes of a connection. */
type Flow =
  | { kind: 'pass' }
  | { kind: 'delay'; ms: number }
  /** Neither side receives anything from the other, not even the end of its connection. */
  | { kind: 'frozen' }
  /** The client's next byte is answered by a reset. */
  | { kind: 'forgotten' };

interface ProxyEvents {
  /** A client was accepted. */
  connection: [ProxiedConnection];
  /** Bytes have arrived and are about to be passed on. A listener that freezes the connection still holds them. */
  data: [ProxiedConnection, Direction, Buffer];
  /** The client's side of a connection has closed. */
  close: [ProxiedConnection];
}

/** Starts a TCP proxy in front of a server, which fails as networks do. */
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

  /** The open connections, the oldest first. */
  get connections(): ProxiedConnection[] {
    for (const connection of this.open) if (connection.over) this.open.delete(connection);
    return [...this.open];
  }

  /** How many connections were ever accepted. */
  get total(): number {
    return this.accepted;
  }

  /** The URL with the address of this proxy. */
  through(url: string): string {
    const changed = new URL(url);
    changed.hostname = '127.0.0.1';
    changed.port = String(this.port);
    return changed.href;
  }

  /** Ends all faults: passes held bytes on, and listens again after `refuse()`. */
  async pass(): Promise<void> {
    this.resetting = false;
    this.setFlow({ kind: 'pass' });
    if (!this.server) await this.listen();
  }

  /** Delays every byte by `ms`, in both directions. */
  delay(ms: number): void {
    this.setFlow({ kind: 'delay', ms });
  }

  /** Freezes the network: connections are accepted, and bytes are held until `pass()`. */
  freeze(): void {
    this.setFlow({ kind: 'frozen' });
  }

  /** Resets every connection now, and new ones with their first byte, until `pass()`. */
  reset(): void {
    this.resetting = true;
    for (const connection of this.connections) connection.reset();
  }

  /** Forgets the open connections, as a firewall that has lost its table; new connections work. */
  forget(): void {
    for (const connection of this.connections) connection.forget();
  }

  /** Stops listening: new connections are refused, open ones continue. */
  async refuse(): Promise<void> {
    const { server } = this;
    if (!server) return;
    this.server = undefined;
    // Not awaited: the server stops listening immediately, but 'close' waits for the open connections.
    server.close();
  }

  /** Stops listening and resets all connections. */
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
        // The port is in use by now. Another one is chosen, unless clients already know this one.
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
  /** Resolves when the client's side has closed. */
  readonly closed: Promise<void>;
  private upstream: Socket | undefined;
  private pipes: Pipe[] = [];
  private forgotten = false;
  /** Resets that are passed on once the network is no longer frozen. */
  private heldResets: (() => void)[] = [];

  constructor(
    /** 1 for the first connection that the proxy accepted. */
    readonly id: number,
    private readonly client: Socket,
    private readonly openUpstream: () => Socket,
    private flow: Flow,
    private readonly onData: (direction: Direction, chunk: Buffer) => void,
  ) {
    client.setNoDelay();
    client.on('error', () => undefined);
    // If the other side has just closed, a reset emits 'error' but no 'close'.
    this.closed = new Promise((resolve) =>
      client.once('close', () => resolve()).once('error', () => resolve()),
    );
    this.setFlow(flow);
  }

  /** Whether both sides have closed. */
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

  /** Closes the server's side. The client's next byte is answered by a reset. */
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
      // While the network is frozen, new clients do not reach the server: the connection is opened only now.
      if (!this.upstream && !this.client.destroyed) this.connectUpstream();
      for (const passOn of this.heldResets.splice(0)) passOn();
    }
    for (const pipe of this.pipes) pipe.setFlow(flow);
  }

  private connectUpstream(): void {
    const { client } = this;
    const upstream = this.openUpstream();
    this.upstream = upstream;
    upstream.setNoDelay();
    // An error of one side, or a server that does not listen, is a reset for the other side.
    upstream.on('error', () => this.passReset(() => client.resetAndDestroy()));
    client.on('error', () => this.passReset(() => upstream.resetAndDestroy()));
    this.pipes = [this.pipe(client, upstream, 'to-server'), this.pipe(upstream, client, 'to-client')];
  }

  private passReset(passOn: () => void): void {
    if (this.flow.kind === 'frozen') this.heldResets.push(passOn);
    else if (!this.forgotten) passOn();
  }

  private pipe(from: Socket, to: Socket, direction: Direction): Pipe {
    return new Pipe(from, to, this.flow, {
      arrived: (chunk) => this.onData(direction, chunk),
      passed: (length) => (this.bytes[direction] += length),
    });
  }
}

/** The bytes of one direction, in order. Each chunk is held until it is due. `null` is their end. */
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
    // Paused, so that not even the end of a side is noticed. Chunks that were read before are held.
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
