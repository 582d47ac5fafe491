import { BadRequestException, Injectable } from '@nestjs/common';
import type { PipeTransform } from '@nestjs/common';

/** 10 million, in cents. */
const LARGEST_AMOUNT = 1_000_000_000;
const LARGEST_ID = 2_147_483_647;
const LONGEST_NAME = 100;

export interface NewUser {
  name: string;
  balance: number;
}

export interface NewTransfer {
  from: number;
  to: number;
  amount: number;
}

@Injectable()
export class NewUserPipe implements PipeTransform<unknown, NewUser> {
  transform(body: unknown): NewUser {
    const { name, balance = 0 } = objectOf(body);
    const trimmed = typeof name === 'string' ? name.trim() : '';
    return validated({ name: trimmed, balance } as NewUser, [
      // PostgreSQL stores no zero byte.
      trimmed.length > 0 && trimmed.length <= LONGEST_NAME && !trimmed.includes('\0')
        ? undefined
        : `name must be a string of 1 to ${LONGEST_NAME} characters`,
      integerBetween(0, LARGEST_AMOUNT, 'balance', balance),
    ]);
  }
}

@Injectable()
export class NewTransferPipe implements PipeTransform<unknown, NewTransfer> {
  transform(body: unknown): NewTransfer {
    const { from, to, amount } = objectOf(body);
    return validated({ from, to, amount } as NewTransfer, [
      integerBetween(1, LARGEST_ID, 'from', from),
      integerBetween(1, LARGEST_ID, 'to', to),
      from === to ? 'from and to must differ' : undefined,
      integerBetween(1, LARGEST_AMOUNT, 'amount', amount),
    ]);
  }
}

/** The id of a user in a path. */
@Injectable()
export class IdPipe implements PipeTransform<string, number> {
  transform(text: string): number {
    return wholeNumber(text, 1, 'id');
  }
}

/** The id after which a list begins; 0 without a parameter. */
@Injectable()
export class AfterPipe implements PipeTransform<string | undefined, number> {
  transform(text: string | undefined): number {
    return text === undefined ? 0 : wholeNumber(text, 0, 'after');
  }
}

function wholeNumber(text: string, min: number, name: string): number {
  // Digits only: Number() would also take 1e3, 0x10 and blanks.
  const value = typeof text === 'string' && /^\d{1,10}$/.test(text) ? Number(text) : NaN;
  return validated(value, [integerBetween(min, LARGEST_ID, name, value)]);
}

function objectOf(body: unknown): Record<string, unknown> {
  if (typeof body !== 'object' || body === null || Array.isArray(body))
    throw new BadRequestException('Send a JSON object');
  return body as Record<string, unknown>;
}

function integerBetween(min: number, max: number, name: string, value: unknown): string | undefined {
  const fits = Number.isInteger(value) && (value as number) >= min && (value as number) <= max;
  return fits ? undefined : `${name} must be a whole number from ${min} to ${max}`;
}

function validated<T>(value: T, problems: (string | undefined)[]): T {
  const found = problems.filter((problem) => problem !== undefined);
  if (found.length > 0) throw new BadRequestException(found);
  return value;
}
