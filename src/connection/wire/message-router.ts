import type { PgWire } from './pg-internals.js';

/** The messages with which the server answers a prepared statement. */
export interface StatementMessages {
  parseComplete: unknown;
  rowDescription: { fields: unknown[] };
  dataRow: { length: number; fields: unknown[] };
  commandComplete: { text: string };
  errorMessage: Error;
  readyForQuery: { status?: string };
  parameterStatus: unknown;
}

/** Receives the messages of the server instead of the client. */
export interface MessageReceiver {
  /** Whether messages are its own: a statement that it has sent is unanswered. */
  readonly isExpectingAnswer: boolean;
  /** @returns whether the client receives the message, too */
  onMessage<E extends keyof StatementMessages>(name: E, message: StatementMessages[E]): boolean;
  /** The socket has failed, or has closed. The client is notified afterwards. */
  onSocketEnd(error: Error | undefined): void;
}

/** Messages that say nothing about a statement of the client: a notice, a notification of LISTEN. */
const OF_THE_CLIENT: ReadonlySet<string> = new Set(['notice', 'notification', 'message', 'connect']);

type Emit = (event: string, message?: unknown) => boolean;

/**
 * Routes the messages of the server to a receiver while it expects an answer, and to the client of `pg` otherwise. `pg` emits
 * each message as an event of its `Connection`; the client would attribute it to its own active query.
 * @returns a function that ends the routing
 */
export function routeMessages(wire: PgWire, receiver: MessageReceiver): () => void {
  const target = wire as unknown as { emit?: Emit };
  const emit = target.emit!;
  target.emit = (event, message) => {
    if (event === 'error' || event === 'end')
      receiver.onSocketEnd(event === 'error' ? (message as Error) : undefined);
    else if (receiver.isExpectingAnswer && !OF_THE_CLIENT.has(event))
      if (!receiver.onMessage(event as keyof StatementMessages, message)) return true;
    return emit.call(wire, event, message);
  };
  return () => {
    // The method of the prototype is in force again.
    delete target.emit;
  };
}
