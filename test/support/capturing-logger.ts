import type { LoggerService } from '@nestjs/common';

export interface LogLine {
  level: 'log' | 'warn' | 'error' | 'debug';
  context: string;
  message: string;
}

/** A logger for Nest that keeps its lines in memory. */
export class CapturingLogger implements LoggerService {
  readonly lines: LogLine[] = [];

  log(message: unknown, ...rest: unknown[]): void {
    this.keep('log', message, rest);
  }
  warn(message: unknown, ...rest: unknown[]): void {
    this.keep('warn', message, rest);
  }
  error(message: unknown, ...rest: unknown[]): void {
    this.keep('error', message, rest);
  }
  debug(message: unknown, ...rest: unknown[]): void {
    this.keep('debug', message, rest);
  }

  /** From now on keeps nothing, for a test that measures memory. */
  keepNothing(): void {
    this.lines.push = () => 0;
  }

  /** Messages of one context. */
  of(context: string): string[] {
    return this.lines.filter((line) => line.context === context).map(({ message }) => message);
  }

  /** All lines as one text, for searches. */
  get text(): string {
    return this.lines.map(({ level, context, message }) => `${level} [${context}] ${message}`).join('\n');
  }

  private keep(level: LogLine['level'], message: unknown, rest: unknown[]): void {
    const context = rest.at(-1);
    this.lines.push({
      level,
      context: typeof context === 'string' ? context : '',
      message: [message, ...rest.slice(0, -1)]
        .filter((part) => part !== undefined)
        .map(String)
        .join('\n'),
    });
  }
}
