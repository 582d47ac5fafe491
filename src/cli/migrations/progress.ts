import type { LockHolder, MigrationProgress } from '../../data-source/migrations/migrator.js';
import { describeSession } from '../../data-source/startup/lock-poll.js';
import { duration } from '../../text/duration.js';
import { oneLine, redact } from '../../text/masking.js';
import type { CommandContext } from '../command.js';
import type { Output } from '../doctor/report.js';

/** How often the line of a running migration shows its time on a terminal; milliseconds. */
const TICK_MS = 1_000;
/** Erases the line of the cursor: https://en.wikipedia.org/wiki/ANSI_escape_code#CSI */
const ERASE_LINE = '\r\u001B[K';

/** Writes a line for each migration, with its time; on a terminal also while it runs. */
export class ProgressWriter {
  readonly #out: Output;
  readonly #err: Output;
  readonly #isJson: boolean;
  readonly #warnings: string[] = [];
  #ticker: NodeJS.Timeout | undefined;

  constructor({ args, out, err }: CommandContext) {
    this.#out = out;
    this.#err = err;
    this.#isJson = args.has('json');
  }

  /** The warnings up to now. */
  get warnings(): readonly string[] {
    return this.#warnings;
  }

  readonly report = (progress: MigrationProgress): void => {
    switch (progress.type) {
      case 'waiting':
        return this.#note(`Waiting for the migration lock${holderText(progress.holder)}.`);
      case 'started':
        return this.#start(`${arrow(progress.direction)} ${progress.migration.name}`);
      case 'finished':
        this.end();
        return this.#line(
          `✔ ${arrow(progress.direction)} ${progress.migration.name}  ${duration(progress.ms)}`,
        );
      case 'retrying': {
        this.end();
        const { migration, attempt, error } = progress;
        const reason = oneLine(redact(error.message));
        return this.#note(
          `${migration.name} was rolled back after attempt ${attempt} and is tried again: ${reason}`,
        );
      }
      case 'warning':
        this.end();
        this.#warnings.push(progress.message);
        this.#err.write(`! ${redact(progress.message)}\n`);
    }
  };

  /** Ends the line of a running migration. */
  end(): void {
    if (this.#ticker === undefined) return;
    clearInterval(this.#ticker);
    this.#ticker = undefined;
    this.#out.write(ERASE_LINE);
  }

  #start(text: string): void {
    if (this.#isJson || this.#out.isTTY !== true) return;
    this.end();
    const since = performance.now();
    const show = () => this.#out.write(`${ERASE_LINE}… ${text}  ${duration(performance.now() - since)}`);
    this.#out.write(`… ${text}`);
    this.#ticker = setInterval(show, TICK_MS);
    this.#ticker.unref();
  }

  #line(text: string): void {
    if (!this.#isJson) this.#out.write(`${text}\n`);
  }

  /** What is not a result is not part of the document of `--json`. */
  #note(text: string): void {
    (this.#isJson ? this.#err : this.#out).write(`… ${text}\n`);
  }
}

function arrow(direction: 'up' | 'down'): string {
  return direction === 'up' ? '↑' : '↓';
}

function holderText(holder: LockHolder | undefined): string {
  return holder ? `: another process holds it (${describeSession(holder)})` : '';
}
