import { Check, Column, Entity, PrimaryGeneratedColumn } from 'typeorm';

/** The tables have names of their own, since the example may be started on somebody's database. */
export const USERS_TABLE = 'example_users';

@Entity(USERS_TABLE)
@Check('balance_not_negative', 'balance >= 0')
export class User {
  @PrimaryGeneratedColumn('identity', { generatedIdentity: 'ALWAYS' })
  id!: number;

  @Column({ type: 'text' })
  name!: string;

  /** In cents. bigint, which arrives as text. */
  @Column({
    type: 'bigint',
    default: 0,
    transformer: { to: (cents: number) => cents, from: (text: string) => Number(text) },
  })
  balance!: number;
}
