import type { User } from './users/user.entity.js';

/** The `curl` commands to paste into a shell in this order, for a server at `url` with these two accounts. */
export function usage(url: string, rich: User, other: User): string {
  const get = (path: string) => `curl -sS -w '\\n' ${url}${path}`;
  const post = (path: string, body: object) =>
    `${get(path)} -H 'content-type: application/json' -d '${JSON.stringify(body)}'`;
  return `
The example listens on ${url}. Press Ctrl-C to end it. Try these commands:

Check the database:
  ${get('/health/db')}

Create a user with 50.00 (amounts are in cents), list all users, read one:
  ${post('/users', { name: 'Alan', balance: 5000 })}
  ${get('/users')}
  ${get(`/users/${rich.id}`)}

Move 25.00 from ${rich.name} to ${other.name}, in a transaction:
  ${post('/transfers', { from: rich.id, to: other.id, amount: 2500 })}

Move one cent more than ${other.name} has: refused with 409 and rolled back:
  ${post('/transfers', { from: other.id, to: rich.id, amount: other.balance + 2501 })}
  ${get('/users')}

Send invalid input (400), and read an unknown user (404):
  ${post('/users', { name: '', balance: -1 })}
  ${get('/users/2147483647')}
`;
}
