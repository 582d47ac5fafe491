import { fork } from 'node:child_process';
import type { ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import type { Candidate } from './candidates.js';

const MAIN = new URL('app/main.mjs', import.meta.url).pathname;

export interface AppOptions {
  /** The binary of Node.js. */
  readonly node: string;
  readonly url: string;
  readonly poolSize?: number;
}

interface Started {
  readonly port: number;
  /** Import of the candidate's packages, after those of Nest; from then on until the app listens; both with Nest. */
  readonly importMs: number;
  readonly bootMs: number;
  readonly listeningMs: number;
}

interface Answers {
  cpu: { micros: number };
  memory: { used: number; rss: number };
  clients: { count: number };
}

/** An app in a process of its own, which ends with this one. */
export class MeasuredApp {
  private constructor(
    readonly candidate: Candidate,
    private readonly process: ChildProcess,
    readonly started: Started,
  ) {}

  static async start(candidate: Candidate, { node, url, poolSize = 10 }: AppOptions): Promise<MeasuredApp> {
    const { app, variant = '' } = candidate;
    const process = fork(MAIN, [app, variant, url, String(poolSize)], {
      execPath: node,
      execArgv: ['--expose-gc'],
      env: { ...globalThis.process.env, NODE_ENV: 'production', NODE_OPTIONS: '' },
    });
    return new MeasuredApp(candidate, process, await answerOf<Started>(process, candidate));
  }

  async ask<Question extends keyof Answers>(question: Question): Promise<Answers[Question]> {
    this.process.send(question);
    return answerOf(this.process, this.candidate);
  }

  async stop(): Promise<void> {
    const ended = once(this.process, 'exit');
    this.process.disconnect();
    await ended;
  }
}

async function answerOf<Answer>(process: ChildProcess, { title }: Candidate): Promise<Answer> {
  const exit = new AbortController();
  const ended = once(process, 'exit', { signal: exit.signal }).then(([code]) => {
    throw new Error(`The app on ${title} has ended with ${code}`);
  });
  ended.catch(() => undefined);
  const [answer] = (await Promise.race([once(process, 'message'), ended])) as [Answer];
  exit.abort();
  return answer;
}
