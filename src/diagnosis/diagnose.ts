import { CONNECTION_FAILED, FAILURES } from './failures.js';
import type { Failure, Sign } from './failures.js';
import { STATEMENT_FAILURES } from './statement-failures.js';

/** What a failure means and what can be done about it. */
export type Diagnosis = Omit<Failure, 'signs'>;

/** What is known of a failure beside its error. */
export interface DiagnosisContext {
  /**
   * Whether the host's name is a local one: those appear late (a compose service), so that an unknown one is worth
   * another try.
   */
  readonly localHost?: boolean;
  /** Whether it ended the opening of a connection, so that even the answer to a statement is about the connection. */
  readonly connecting?: boolean;
}

/** What is not known. */
const UNKNOWN: Diagnosis = {
  code: 'UNKNOWN',
  meaning: 'nothing is known of this error',
  hint: 'See its message and its cause.',
  transient: false,
};
/** The parts of an error that are looked at; all of them may be anything. */
interface Evidence {
  readonly code?: unknown;
  readonly message?: unknown;
  readonly severity?: unknown;
  /** The function of PostgreSQL that raised it; no pooler and no proxy sends one. */
  readonly routine?: unknown;
  readonly cause?: unknown;
  readonly errors?: unknown;
  /** What TypeORM's `QueryFailedError` wraps. */
  readonly driverError?: unknown;
}

/**
 * Explains a failure by SQLSTATE, errno or words, looking through `cause`, `driverError` and the several addresses of one
 * name. What the server answered to a statement is never taken for a failure of the connection. An error of which nothing
 * is known is `UNKNOWN`.
 */
export function diagnose(
  error: unknown,
  { localHost = false, connecting = false }: DiagnosisContext = {},
): Diagnosis {
  let dialled = connecting;
  // Not `instanceof`: errors of Node itself come from another realm under Jest.
  for (let e = error, depth = 0; typeof e === 'object' && e !== null && depth < 8; e = below(e), depth++) {
    const { code, cause } = e as Evidence;
    const refused = code === 'POOL_CONNECT_FAILED';
    // While connections can't be opened the wait for one ends at its deadline: the reason is the failed dial.
    const late = code === 'POOL_ACQUIRE_TIMEOUT' && cause !== undefined;
    if (refused || late || endsConnection(e)) dialled = true;
    if (late) continue;
    const failure = failureOf(e, dialled);
    if (failure)
      return {
        ...diagnosisOf(failure),
        transient: failure.transient || (localHost && failure.code === 'HOST_NOT_FOUND'),
      };
  }
  return diagnosisOf(dialled ? CONNECTION_FAILED : UNKNOWN);
}

function diagnosisOf({ code, meaning, hint, transient }: Diagnosis): Diagnosis {
  return { code, meaning, hint, transient };
}

/**
 * Whether the server has answered a statement with an error and goes on. While a client logs in, PostgreSQL makes FATAL of
 * every ERROR; proxies that say ERROR there (Neon's) name no routine. A severity may be in the language of `lc_messages`.
 */
function isAnswerToStatement({ severity, routine, driverError }: Evidence): boolean {
  return (
    typeof severity === 'string' &&
    !endsConnection({ severity }) &&
    (typeof routine === 'string' || driverError !== undefined)
  );
}

const endsConnection = ({ severity }: Evidence) => severity === 'FATAL' || severity === 'PANIC';

function failureOf(evidence: Evidence, connecting: boolean): Failure | undefined {
  const code = typeof evidence.code === 'string' ? evidence.code : undefined;
  const ofStatement = !connecting && isAnswerToStatement(evidence);
  const [first, second] = ofStatement
    ? [STATEMENT_FAILURES, FAILURES]
    : [FAILURES, endsConnection(evidence) ? [] : STATEMENT_FAILURES];
  const message = String(evidence.message);
  const byWords = (failures: readonly Failure[]) =>
    failures.find(({ signs }) => signs.some((sign) => typeof sign !== 'string' && fits(sign, code, message)));
  // What a function raises may have the words of anything.
  const spoken = byWords(first) ?? (ofStatement ? undefined : byWords(second));
  if (spoken || code === undefined) return spoken;
  const byCode = (sign: string) => [...first, ...second].find(({ signs }) => signs.includes(sign));
  return byCode(code) ?? (SQLSTATE.test(code) ? byCode(`${code.slice(0, 2)}xxx`) : undefined);
}

const SQLSTATE = /^(?=.*\d)[0-9A-Z]{5}$/;

function fits({ words, codes = [] }: Exclude<Sign, string>, code: string | undefined, message: string) {
  return (code === undefined ? codes.length === 0 : codes.includes(code)) && words.test(message);
}

/** An AggregateError holds one error per address that a name resolved to; the first speaks for them. */
function below({ cause, driverError, errors }: Evidence): unknown {
  return cause ?? driverError ?? (Array.isArray(errors) ? (errors as unknown[])[0] : undefined);
}
