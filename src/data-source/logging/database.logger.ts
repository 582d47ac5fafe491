import { inspect } from 'node:util';
import { AbstractLogger } from 'typeorm';
import type { LogLevel, LogMessage, LoggerOptions } from 'typeorm';
import type { EchoSettings } from '../../database.options.js';
import { maskedSql, oneLine } from '../../text/masking.js';

/** The logger that this module writes to: Nest's `Logger`, or an object with these methods. */
export interface DatabaseLogger {
  log(message: string): void;
  warn(message: string): void;
  error(message: string, stack?: string): void;
  debug(message: string): void;
}

/** A logger for each context: start and shutdown, the pool, statements. */
export interface DatabaseLoggers {
  readonly module: DatabaseLogger;
  readonly pool: DatabaseLogger;
  readonly query: DatabaseLogger;
}

/** Truncates a text for a log line and appends the number of omitted characters. */
export function truncate(text: string, maxLength: number): string {
  return text.length <= maxLength
    ? text
    : `${text.slice(0, maxLength)}… (${text.length - maxLength} more characters)`;
}

/**
 * Writes what TypeORM logs (`logging`) to the module's loggers. Parameters are logged only with `echo.parameters`: they may be personal
 * data.
 */
export class TypeOrmLogger extends AbstractLogger {
  readonly #loggers: DatabaseLoggers;
  readonly #limits: Required<EchoSettings>;

  constructor(loggers: DatabaseLoggers, limits: Required<EchoSettings>, logging?: LoggerOptions) {
    super(logging);
    this.#loggers = loggers;
    this.#limits = limits;
  }

  protected override writeLog(
    _level: LogLevel,
    messages: LogMessage | string | number | (LogMessage | string | number)[],
  ): void {
    for (const message of Array.isArray(messages) ? messages : [messages]) {
      const entry: LogMessage = typeof message === 'object' ? message : { message };
      const line = `${entry.prefix ? `${entry.prefix}: ` : ''}${this.#text(entry)}`;
      switch (entry.type) {
        case 'query':
          this.#loggers.query.log(line);
          break;
        case 'query-error':
          this.#loggers.query.error(line);
          break;
        case 'query-slow':
          this.#loggers.query.warn(line);
          break;
        case 'warn':
          this.#loggers.module.warn(line);
          break;
        case 'error':
          this.#loggers.module.error(line);
          break;
        default:
          this.#loggers.module.log(line);
      }
    }
  }

  #text({ message, parameters }: LogMessage): string {
    return statementText(String(message), parameters, this.#limits);
  }
}

/** One statement on one line: its text, truncated to `limits.maxLength`, and with `limits.parameters` its parameters. */
export function statementText(sql: string, parameters: unknown, limits: Required<EchoSettings>): string {
  const text = truncate(oneLine(maskedSql(sql)), limits.maxLength);
  if (!limits.parameters || !Array.isArray(parameters) || parameters.length === 0) return text;
  return `${text} -- ${truncate(oneLine(parametersText(parameters)), limits.maxLength)}`;
}

/** The parameters as JSON. A bigint, a circular reference or a `toJSON()` that throws must not fail the log line. */
function parametersText(parameters: readonly unknown[]): string {
  return `[${parameters.map(parameterText).join(',')}]`;
}

function parameterText(parameter: unknown): string {
  try {
    return JSON.stringify(parameter, bigintAsText) ?? 'null';
  } catch {
    return inspectedText(parameter);
  }
}

function inspectedText(parameter: unknown): string {
  try {
    return inspect(parameter, { depth: 2, breakLength: Infinity, maxArrayLength: 10 });
  } catch {
    return '[not printable]';
  }
}

function bigintAsText(_key: string, value: unknown): unknown {
  return typeof value === 'bigint' ? value.toString() : value;
}
