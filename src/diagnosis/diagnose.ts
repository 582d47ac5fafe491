import { CONNECTION_RULES } from './connection-rules.js';
import type { FailureRule } from './failure-rule.js';
import { CONNECTION_FAILED } from './rules/server.js';
import { STATEMENT_RULES } from './statement-rules.js';

/** A failure, explained. */
export interface Diagnosis extends Pick<FailureRule, 'code' | 'category' | 'meaning' | 'hint'> {
  /** Whether the same attempt may succeed later without any change. */
  readonly transient: boolean;
}

/** What the caller knows about a failure in addition to its error. */
export interface DiagnosisContext {
  /**
   * Whether the host name is local, for example a Compose service. Such a name may appear later, so that `HOST_NOT_FOUND`
   * is transient. @defaultValue false
   */
  readonly localHost?: boolean;
  /**
   * Whether the failure ended a connection attempt. The server's answer to a statement of the attempt then counts as a
   * failure of the connection.
   * @defaultValue false
   */
  readonly connecting?: boolean;
}

/**
 * Explains a failure: what it means, what to do, and whether the same attempt may succeed later. Never throws.
 *
 * A failure is recognised by its SQLSTATE, by the error code of Node.js or of this package, or by its message. `cause`,
 * TypeORM's `driverError` and the first error of an `AggregateError` are searched, too. The server's answer to a statement
 * is a failure of the statement, not of the connection. The code of an unrecognised error is `UNKNOWN`.
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
  meaning: 'the error is not one that this package recognises',
  hint: 'See its message and its cause.',
  signs: [],
};

/** The properties of an error that rules examine. They may have any type. */
interface Evidence {
  readonly code?: unknown;
  readonly message?: unknown;
  readonly severity?: unknown;
  /** The function in PostgreSQL that raised the error. Poolers and proxies send none. */
  readonly routine?: unknown;
  readonly cause?: unknown;
  /** Of an `AggregateError`. */
  readonly errors?: unknown;
  /** What TypeORM's `QueryFailedError` wraps. */
  readonly driverError?: unknown;
}

/** Errors that are wrapped deeper than this are not searched. */
const MAX_DEPTH = 8;

/** The rule for an error or for what it wraps; `CONNECTION_FAILED` or `UNKNOWN` when no rule matches. */
export function findRule(error: unknown, { connecting = false }: DiagnosisContext = {}): FailureRule {
  let isConnecting = connecting;
  let evidence = error;
  // Not `instanceof Error`: under Jest, errors of Node.js come from another realm.
  for (let depth = 0; typeof evidence === 'object' && evidence !== null && depth < MAX_DEPTH; depth++) {
    const { code, cause } = evidence as Evidence;
    // The cause of an acquire timeout is the failed connection attempt for which the acquire waited.
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

/** The error that an error wraps. An `AggregateError` has one for each address of a host name; the first is used. */
function wrapped({ cause, driverError, errors }: Evidence): unknown {
  return cause ?? driverError ?? (Array.isArray(errors) ? (errors as unknown[])[0] : undefined);
}

/** Searches by message, then by code, then by class of SQLSTATEs: from the most specific to the least. */
function matchingRule(evidence: Evidence, isConnecting: boolean): FailureRule | undefined {
  const code = typeof evidence.code === 'string' ? evidence.code : undefined;
  const message = String(evidence.message);

  if (!isConnecting && isStatementError(evidence))
    return (
      // Not by the messages of connections: a function in the database may raise an error with any text.
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

/** Whether the server ended the session with this error. During login, PostgreSQL raises every ERROR to FATAL. */
function isFatal({ severity }: Evidence): boolean {
  return severity === 'FATAL' || severity === 'PANIC';
}

/**
 * Whether this is the server's answer to a statement, in a session that continues. Neon's proxy answers a login with ERROR,
 * but without a routine. Any severity other than FATAL and PANIC counts, because `lc_messages` translates it.
 */
function isStatementError(evidence: Evidence): boolean {
  const { severity, routine, driverError } = evidence;
  return (
    typeof severity === 'string' &&
    !isFatal(evidence) &&
    (typeof routine === 'string' || driverError !== undefined)
  );
}
