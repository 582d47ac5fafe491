import { connectTimeoutError } from '../../connection/wire/connect-stages.js';
import { findRule } from '../../diagnosis/diagnose.js';
import type { Clock } from '../support/clock.js';
import type { LeasedClient, PooledConnection, PoolableClient } from './pooled-connection.js';
import type { PoolOptions } from '../pool.options.js';

/**
 * Connects a client and runs the hooks, all within `timeoutMs`. Settles once; when it rejects, nothing is left open: a
 * client that connects too late is destroyed.
 */
export function connectClient<C extends PoolableClient>(
  client: C,
  link: PooledConnection,
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
        : clock.after(timeoutMs, () => fail(connectTimeoutError(client, timeoutMs)), false);
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
    (client as LeasedClient<C>).release = (error) => (error instanceof Error ? reject(error) : resolve());
    verify(client as LeasedClient<C>, (error) => (error ? reject(error) : resolve()));
  });
}

/** Whether the server is about to accept connections. */
export function isWaking(error: Error): boolean {
  return findRule(error).isWaking === true;
}

const FIRST_PAUSE_MS = 10;
/** Short enough that service is back within two seconds of the database. */
const LONGEST_PAUSE_MS = 1_000;

/** Doubling pauses between dials that fail, and one dial at a time, or one a second, until one succeeds. */
export class ConnectBackoff {
  readonly #clock: Clock;
  #failures = 0;
  #until = -Infinity;
  #startedAt = -Infinity;
  #failedAt = -Infinity;
  lastError: Error | undefined;

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  recordFailure(error: Error, bornAt: number): void {
    this.lastError = error;
    // Begun before the last failure, it says the same: fifteen at once are one failure, and not a pause of fifteen doublings.
    if (bornAt <= this.#failedAt) return;
    this.#failedAt = this.#clock.now();
    this.#until = this.#failedAt + Math.min(FIRST_PAUSE_MS * 2 ** this.#failures, LONGEST_PAUSE_MS);
    this.#failures += 1;
  }

  recordSuccess(): void {
    this.#failures = 0;
    this.#failedAt = -Infinity;
    this.lastError = undefined;
  }

  recordStart(): void {
    this.#startedAt = this.#clock.now();
  }

  /** When the next dial may start, with so many under way. One that hangs holds the others up no longer than a pause. */
  nextAttempt(connecting: number): number {
    if (this.#failures === 0) return -Infinity;
    return connecting > 0 ? Math.max(this.#until, this.#startedAt + LONGEST_PAUSE_MS) : this.#until;
  }
}
