import { Body, Controller, Get, Param, Post, Query } from '@nestjs/common';
import { AfterPipe, IdPipe, NewUserPipe } from '../input.js';
import type { NewUser } from '../input.js';
import type { User } from './user.entity.js';
import { UsersService } from './users.service.js';

@Controller('users')
export class UsersController {
  constructor(private readonly users: UsersService) {}

  @Post()
  create(@Body(NewUserPipe) user: NewUser): Promise<User> {
    return this.users.create(user);
  }

  /** At most 100 users; `GET /users?after=100` continues after the id 100. */
  @Get()
  list(@Query('after', AfterPipe) after: number): Promise<User[]> {
    return this.users.list(after);
  }

  @Get(':id')
  read(@Param('id', IdPipe) id: number): Promise<User> {
    return this.users.read(id);
  }
}
