import { dialTimeout } from '../connection/dial-timeout.js';
import { diagnose } from '../diagnosis.js';
import type { Clock } from './clock.js';
import type { Leased, Link, PoolableClient } from './link.js';
import type { PoolOptions } from './pool.options.js';

/**
 * Connects a client and runs the hooks, all within `timeoutMs`. Settles once; when it rejects, nothing is left open: a
 * client that connects too late is destroyed.
 */
export function dial<C extends PoolableClient>(
  client: C,
  link: Link,
  hooks: Pick<PoolOptions<C>, 'onConnect' | 'verify'>,
  clock: Clock,
  timeoutMs: number,
): Promise<void> {
  return new Promise((resolve, reject) => {
    const fail = (error: Error) => {
      cancel?.();
      link.destroy();
      reject(error);
    };
    const cancel =
      timeoutMs === Infinity
        ? undefined
        : clock.after(timeoutMs, () => fail(dialTimeout(client, timeoutMs)), false);
    open(client, hooks).then(() => {
      cancel?.();
      resolve();
    }, fail);
  });
}

async function open<C extends PoolableClient>(
  client: C,
  { onConnect, verify }: Pick<PoolOptions<C>, 'onConnect' | 'verify'>,
): Promise<void> {
  await new Promise<void>((resolve, reject) => {
    client.connect((error) => (error ? reject(error) : resolve()));
  });
  await onConnect?.(client);
  if (!verify) return;
  await new Promise<void>((resolve, reject) => {
    // `pg-pool` hands `verify` a lent client; a hook that gives it back early only says that it is done.
    (client as Leased<C>).release = (error) => (error instanceof Error ? reject(error) : resolve());
    verify(client as Leased<C>, (error) => (error ? reject(error) : resolve()));
  });
}

/** Failures of a server that is about to serve: PostgreSQL that starts up, a compute of Neon that is woken by the dial. */
const WAKING = ['SERVER_STARTING', 'NEON_UNAVAILABLE', 'NEON_TOO_MANY_ATTEMPTS'];

export function isWaking(error: Error): boolean {
  return WAKING.includes(diagnose(error).code);
}

const FIRST_PAUSE_MS = 10;
/** Short enough that service is back within two seconds of the database. */
const LONGEST_PAUSE_MS = 1_000;

/** Doubling pauses between dials that fail, and one dial at a time, or one a second, until one succeeds. */
export class DialBackoff {
  #failures = 0;
  #until = -Infinity;
  #startedAt = -Infinity;
  #failedAt = -Infinity;
  lastError: Error | undefined;

  constructor(private readonly clock: Clock) {}

  failed(error: Error, bornAt: number): void {
    this.lastError = error;
    // Begun before the last failure, it says the same: fifteen at once are one failure, and not a pause of fifteen doublings.
    if (bornAt <= this.#failedAt) return;
    this.#failedAt = this.clock.now();
    this.#until = this.#failedAt + Math.min(FIRST_PAUSE_MS * 2 ** this.#failures, LONGEST_PAUSE_MS);
    this.#failures += 1;
  }

  succeeded(): void {
    this.#failures = 0;
    this.#failedAt = -Infinity;
    this.lastError = undefined;
  }

  started(): void {
    this.#startedAt = this.clock.now();
  }

  /** When the next dial may start, with so many under way. One that hangs holds the others up no longer than a pause. */
  nextDial(dialling: number): number {
    if (this.#failures === 0) return -Infinity;
    return dialling > 0 ? Math.max(this.#until, this.#startedAt + LONGEST_PAUSE_MS) : this.#until;
  }
}
