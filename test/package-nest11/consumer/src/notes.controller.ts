import { Body, ConflictException, Controller, Get, Injectable, Post } from '@nestjs/common';
import { InjectQueryRunner } from 'nestjs-database';
import { QueryRunner } from 'typeorm';

const INSERT = 'INSERT INTO notes (text) VALUES ($1)';

@Injectable()
export class NotesService {
  constructor(@InjectQueryRunner() readonly runner: QueryRunner) {}
}

@Controller('notes')
export class NotesController {
  constructor(
    @InjectQueryRunner() private readonly runner: QueryRunner,
    private readonly service: NotesService,
  ) {}

  @Get('same')
  same() {
    return { same: this.runner === this.service.runner };
  }

  @Post()
  async create(@Body('text') text: string) {
    await this.runner.startTransaction();
    await this.runner.query(INSERT, [text]);
    await this.runner.commitTransaction();
    return {};
  }

  @Post('forgotten')
  async forget(@Body('text') text: string) {
    await this.runner.startTransaction();
    await this.runner.query(INSERT, [text]);
    return {};
  }

  @Post('failing')
  async fail(@Body('text') text: string) {
    await this.runner.startTransaction();
    await this.runner.query(INSERT, [text]);
    throw new ConflictException(text);
  }

  /** Express 5 names a wildcard. */
  @Get('files/*path')
  files() {
    return this.runner.query('SELECT 1 AS one');
  }
}
