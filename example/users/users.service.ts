import { Injectable, NotFoundException } from '@nestjs/common';
import { InjectRepository } from 'nestjs-database';
import { MoreThan, Repository } from 'typeorm';
import type { NewUser } from '../input.js';
import { User } from './user.entity.js';

@Injectable()
export class UsersService {
  constructor(@InjectRepository(User) private readonly users: Repository<User>) {}

  create(user: NewUser): Promise<User> {
    return this.users.save(this.users.create(user));
  }

  /** At most 100 users, in the order of their ids. */
  list(after: number): Promise<User[]> {
    return this.users.find({ where: { id: MoreThan(after) }, order: { id: 'ASC' }, take: 100 });
  }

  async read(id: number): Promise<User> {
    const user = await this.users.findOneBy({ id });
    if (!user) throw new NotFoundException(`There is no user ${id}`);
    return user;
  }
}
