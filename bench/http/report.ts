import type { Memory, StartUp } from './measure-start.js';
import type { Measurement } from './measure.js';

/** One route, measured on several candidates in turn. */
export interface Cell {
  readonly route: string;
  readonly clients: number;
  readonly latencyMs: number;
  /** By the title of the candidate. */
  readonly results: Readonly<Record<string, Measurement>>;
}

/** What was measured on one version of Node.js. */
export interface NodeReport {
  readonly version: string;
  readonly cells: readonly Cell[];
  /** By the title of the candidate. */
  readonly startUp: Readonly<Record<string, StartUp>>;
  readonly memory: Readonly<Record<string, Memory>>;
}

export interface Report {
  readonly date: string;
  readonly cores: number;
  readonly processor: string;
  readonly postgres: string;
  readonly rounds: number;
  /** Installed versions of the compared packages. */
  readonly versions: Readonly<Record<string, string>>;
  /** Of the smallest statement in milliseconds, by the latency of the network in one direction. */
  readonly roundTrips: Readonly<Record<string, number>>;
  readonly nodes: readonly NodeReport[];
}
