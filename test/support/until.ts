import { setTimeout as sleep } from 'node:timers/promises';

/**
 * Polls `condition` until it returns something truthy, and resolves with that. It pauses between two polls: a busy loop
 * takes the processor from the server that the test waits for.
 */
export async function until<Value>(
  condition: () => Value | Promise<Value>,
  pauseMs = 2,
): Promise<Exclude<Value, false | 0 | '' | null | undefined>> {
  for (;;) {
    const value = await condition();
    if (value) return value as Exclude<Value, false | 0 | '' | null | undefined>;
    await sleep(pauseMs);
  }
}
