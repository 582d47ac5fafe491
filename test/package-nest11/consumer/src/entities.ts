import { Column, Entity, EntitySchema, PrimaryGeneratedColumn } from 'typeorm';

@Entity({ name: 'users' })
export class User {
  @PrimaryGeneratedColumn()
  id!: number;

  @Column('text')
  name!: string;
}

@Entity({ name: 'orders' })
export class Order {
  @PrimaryGeneratedColumn()
  id!: number;

  @Column('int', { default: 0 })
  total!: number;
}

export interface Tag {
  id: number;
  label: string;
}

/** An entity without a class. */
export const TagSchema = new EntitySchema<Tag>({
  name: 'Tag',
  columns: { id: { type: 'int', primary: true, generated: true }, label: { type: 'text' } },
});
