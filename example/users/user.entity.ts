import { Check, Column, Entity, Index, PrimaryGeneratedColumn } from 'typeorm';

/** Has a prefix, because the database of the example may already have a table `users`. */
export const USERS_TABLE = 'example_users';

@Entity(USERS_TABLE)
@Check('balance_not_negative', 'balance >= 0')
export class User {
  @PrimaryGeneratedColumn('identity', { generatedIdentity: 'ALWAYS' })
  id!: number;

  @Column({ type: 'text' })
  name!: string;

  /** In cents. `pg` returns a bigint as text. */
  @Index('example_users_balance')
  @Column({
    type: 'bigint',
    default: 0,
    transformer: { to: (cents: number) => cents, from: (text: string) => Number(text) },
  })
  balance!: number;
}
