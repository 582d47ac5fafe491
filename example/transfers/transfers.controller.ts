import { Body, ConflictException, Controller, NotFoundException, Post } from '@nestjs/common';
import { InjectQueryRunner } from 'nestjs-database';
import { In } from 'typeorm';
import type { QueryRunner } from 'typeorm';
import { NewTransferPipe } from '../input.js';
import type { NewTransfer } from '../input.js';
import { User } from '../users/user.entity.js';

@Controller('transfers')
export class TransfersController {
  // The query runner of the request. It keeps a connection from startTransaction() to the commit or rollback.
  constructor(@InjectQueryRunner() private readonly runner: QueryRunner) {}

  @Post()
  async create(@Body(NewTransferPipe) transfer: NewTransfer): Promise<{ from: User; to: User }> {
    await this.runner.startTransaction();
    try {
      const accounts = await this.move(transfer);
      await this.runner.commitTransaction();
      return accounts;
    } catch (error) {
      await this.runner.rollbackTransaction();
      throw toHttpError(error, transfer);
    }
  }

  private async move({ from, to, amount }: NewTransfer): Promise<{ from: User; to: User }> {
    const { manager } = this.runner;
    const ids = [from, to];
    // Locks the rows in the order of their ids: otherwise two transfers in opposite directions could deadlock.
    const accounts = await manager.find(User, {
      where: { id: In(ids) },
      order: { id: 'ASC' },
      lock: { mode: 'pessimistic_write' },
    });
    const missing = ids.filter((id) => !accounts.some((account) => account.id === id));
    if (missing.length > 0) throw new NotFoundException(`There is no user ${missing.join(' and no user ')}`);
    await manager.increment(User, { id: to }, 'balance', amount);
    // The CHECK constraint refuses a negative balance; the rollback then undoes the increment.
    await manager.decrement(User, { id: from }, 'balance', amount);
    return {
      from: await manager.findOneByOrFail(User, { id: from }),
      to: await manager.findOneByOrFail(User, { id: to }),
    };
  }
}

function toHttpError(error: unknown, { from, amount }: NewTransfer): unknown {
  const { constraint } = (error as { driverError?: { constraint?: string } }).driverError ?? {};
  if (constraint !== 'balance_not_negative') return error;
  return new ConflictException(`User ${from} has less than ${amount}`);
}
