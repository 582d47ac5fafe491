import { FAILURES, type Failure, type Sign } from './failures.js';

/** What a failure means and what can be done about it. */
export type Diagnosis = Omit<Failure, 'signs'>;

/**
 * Explains a failure by SQLSTATE, errno or words, looking through `cause` and the several addresses of one name.
 * @param localHost whether the host's name is a local one: those appear late (a compose service), so an unknown one
 * is worth another try
 */
export function diagnose(error: unknown, { localHost = false } = {}): Diagnosis {
  // Not `instanceof`: errors of Node itself come from another realm under Jest.
  for (let e = error, depth = 0; typeof e === 'object' && e !== null && depth < 8; e = below(e), depth++) {
    const { code, message, cause } = e as { code?: unknown; message?: unknown; cause?: unknown };
    // While connections can't be opened the wait for one ends at its deadline: the reason is the failed dial.
    if (code === 'POOL_ACQUIRE_TIMEOUT' && cause !== undefined) continue;
    const failure = failureOf(typeof code === 'string' ? code : undefined, String(message));
    if (failure)
      return {
        code: failure.code,
        meaning: failure.meaning,
        cure: failure.cure,
        transient: failure.transient || (localHost && failure.code === 'HOST_NOT_FOUND'),
      };
  }
  return {
    code: 'CONNECTION_FAILED',
    meaning: 'the connection failed',
    cure: "See the cause, and the server's log.",
    transient: false,
  };
}

function failureOf(code: string | undefined, message: string): Failure | undefined {
  return (
    FAILURES.find(({ signs }) =>
      signs.some((sign) => typeof sign !== 'string' && fits(sign, code, message)),
    ) ?? FAILURES.find(({ signs }) => code !== undefined && signs.includes(code))
  );
}

function fits({ words, codes = [] }: Exclude<Sign, string>, code: string | undefined, message: string) {
  return (code === undefined ? codes.length === 0 : codes.includes(code)) && words.test(message);
}

/** An AggregateError holds one error per address that a name resolved to; the first speaks for them. */
function below(error: object): unknown {
  const { cause, errors } = error as { cause?: unknown; errors?: unknown[] };
  return cause ?? (Array.isArray(errors) ? errors[0] : undefined);
}
