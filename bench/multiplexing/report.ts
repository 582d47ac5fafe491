import type { Measurement } from '../http/measure.js';

/** Calls of one candidate: medians of the rounds. */
export interface CallResult {
  readonly perSecond: number;
  /** Milliseconds. */
  readonly p50: number;
  readonly p99: number;
  /** CPU time of the process per call, in microseconds. */
  readonly cpuUs: number;
}

/** Calls without HTTP over one network. */
export interface NetworkReport {
  /** Round trip as it was measured; milliseconds. */
  readonly roundTripMs: number;
  /** Results by the number of callers, then by the candidate. */
  readonly callers: Readonly<Record<string, Readonly<Record<string, CallResult>>>>;
}

/** A row by its key over HTTP, by a repository or by SQL. */
export interface HttpReport {
  /** Version of Node.js. */
  readonly node: string;
  readonly clients: number;
  readonly rowBy: 'repository' | 'SQL';
  readonly results: Readonly<Record<string, Measurement>>;
}

export interface MultiplexingReport {
  readonly date: string;
  readonly node: string;
  readonly cores: number;
  readonly processor: string;
  readonly postgres: string;
  readonly connections: number;
  readonly rounds: number;
  readonly networks: readonly NetworkReport[];
  readonly http: readonly HttpReport[];
}
