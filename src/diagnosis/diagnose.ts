import { CONNECTION_RULES } from './connection-rules.js';
import type { FailureRule } from './failure-rule.js';
import { CONNECTION_FAILED } from './rules/server.js';
import { STATEMENT_RULES } from './statement-rules.js';

/** A failure, explained. */
export interface Diagnosis extends Pick<FailureRule, 'code' | 'category' | 'meaning' | 'hint'> {
  /** Whether the failure may pass without a change, so that another attempt makes sense. */
  readonly transient: boolean;
}

/** What the caller knows about a failure beside its error. */
export interface DiagnosisContext {
  /**
   * Whether the host name is local, as that of a compose service. Such a name may appear later, so that `HOST_NOT_FOUND`
   * is transient. @defaultValue false
   */
  readonly localHost?: boolean;
  /**
   * Whether the failure ended a connection attempt. Then the server's answer to a statement is about the connection too.
   * @defaultValue false
   */
  readonly connecting?: boolean;
}

/**
 * Explains a failure: what it means, what can be done, and whether another attempt makes sense. Never throws.
 *
 * The failure is recognised by SQLSTATE, by the error code of Node or of this package, or by its message. `cause`,
 * TypeORM's `driverError` and the first of an `AggregateError`'s errors are searched too. What the server answers to a
 * statement counts as a failure of the statement, never of the connection. An error that no rule matches has the code
 * `UNKNOWN`.
 *
 * @param error anything that was thrown
 * @example
 * ```ts
 * const { code, meaning, hint, transient } = diagnose(error);
 * logger.error(`${code}: ${meaning}. ${hint}`);
 * if (transient) await retry();
 * ```
 */
export function diagnose(error: unknown, context: DiagnosisContext = {}): Diagnosis {
  const { code, category, meaning, hint, transient = false } = findRule(error, context);
  const mayAppear = context.localHost === true && code === 'HOST_NOT_FOUND';
  return { code, category, meaning, hint, transient: transient || mayAppear };
}

const UNKNOWN: FailureRule = {
  code: 'UNKNOWN',
  category: 'unknown',
  meaning: 'no rule matches this error',
  hint: 'See its message and its cause.',
  signs: [],
};

/** The properties of an error that rules look at. An error may hold anything in them. */
interface Evidence {
  readonly code?: unknown;
  readonly message?: unknown;
  readonly severity?: unknown;
  /** The function of PostgreSQL that raised the error. Poolers and proxies send none. */
  readonly routine?: unknown;
  readonly cause?: unknown;
  /** Of an `AggregateError`. */
  readonly errors?: unknown;
  /** What TypeORM's `QueryFailedError` wraps. */
  readonly driverError?: unknown;
}

const DEEPEST = 8;

/** The rule that matches an error or what it wraps; `CONNECTION_FAILED` or `UNKNOWN` where none does. */
export function findRule(error: unknown, { connecting = false }: DiagnosisContext = {}): FailureRule {
  let isConnecting = connecting;
  let evidence = error;
  // Not `instanceof Error`: under Jest the errors of Node itself come from another realm.
  for (let depth = 0; typeof evidence === 'object' && evidence !== null && depth < DEEPEST; depth++) {
    const { code, cause } = evidence as Evidence;
    // An acquire that waited for connection attempts ends by its own timeout; why they failed is in the cause.
    const hidesConnectFailure = code === 'POOL_ACQUIRE_TIMEOUT' && cause !== undefined;
    if (hidesConnectFailure || code === 'POOL_CONNECT_FAILED' || isFatal(evidence)) isConnecting = true;
    if (!hidesConnectFailure) {
      const rule = matchingRule(evidence, isConnecting);
      if (rule) return rule;
    }
    evidence = wrapped(evidence);
  }
  return isConnecting ? CONNECTION_FAILED : UNKNOWN;
}

/** What an error wraps. Of an `AggregateError`, which has an error for each address of a host name, the first. */
function wrapped({ cause, driverError, errors }: Evidence): unknown {
  return cause ?? driverError ?? (Array.isArray(errors) ? (errors as unknown[])[0] : undefined);
}

/** Messages are more specific than codes, and codes more than their classes. */
function matchingRule(evidence: Evidence, isConnecting: boolean): FailureRule | undefined {
  const code = typeof evidence.code === 'string' ? evidence.code : undefined;
  const message = String(evidence.message);

  if (!isConnecting && isStatementError(evidence))
    return (
      // Not the messages of connections: a function may raise an error with any text.
      STATEMENT_RULES.findByMessage(message, code) ?? findByCode(code, STATEMENT_RULES, CONNECTION_RULES)
    );
  if (isFatal(evidence))
    return CONNECTION_RULES.findByMessage(message, code) ?? findByCode(code, CONNECTION_RULES);
  return (
    CONNECTION_RULES.findByMessage(message, code) ??
    STATEMENT_RULES.findByMessage(message, code) ??
    findByCode(code, CONNECTION_RULES, STATEMENT_RULES)
  );
}

function findByCode(
  code: string | undefined,
  ...lists: (typeof CONNECTION_RULES)[]
): FailureRule | undefined {
  if (code === undefined) return undefined;
  const codes = SQLSTATE.test(code) ? [code, `${code.slice(0, 2)}xxx`] : [code];
  for (const one of codes)
    for (const list of lists) {
      const rule = list.findByCode(one);
      if (rule) return rule;
    }
  return undefined;
}

const SQLSTATE = /^(?=.*\d)[0-9A-Z]{5}$/;

/** Whether the server ended the session with this error. While a client logs in, PostgreSQL raises every ERROR to FATAL. */
function isFatal({ severity }: Evidence): boolean {
  return severity === 'FATAL' || severity === 'PANIC';
}

/**
 * Whether this is the server's answer to a statement, in a session that goes on. Neon's proxy answers a login with ERROR,
 * but names no routine. A severity in another language than English counts: `lc_messages` translates it.
 */
function isStatementError(evidence: Evidence): boolean {
  const { severity, routine, driverError } = evidence;
  return (
    typeof severity === 'string' &&
    !isFatal(evidence) &&
    (typeof routine === 'string' || driverError !== undefined)
  );
}
