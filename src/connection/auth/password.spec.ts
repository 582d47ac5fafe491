import { describe, expect, it } from '@jest/globals';
import { providePassword, isWaitingForPassword } from './password.js';

function clientWithSource(answer: () => Promise<string>) {
  const refused: string[] = [];
  const client: { password?: () => Promise<string> } = {};
  const failed = providePassword(client, { ask: answer, refused: (password) => void refused.push(password) });
  return { client, failed, refused };
}
const refusal = (code: string) => Object.assign(new Error('refused'), { code });

describe('providePassword', () => {
  it('marks the client as waiting while the source is asked', async () => {
    let settle: { resolve(password: string): void; reject(error: Error): void };
    const { client } = clientWithSource(
      () => new Promise((resolve, reject) => (settle = { resolve, reject })),
    );
    expect(isWaitingForPassword(client)).toBe(false);
    const first = client.password!();
    expect(isWaitingForPassword(client)).toBe(true);
    expect(isWaitingForPassword({})).toBe(false);
    settle!.resolve('secret');
    expect(await first).toBe('secret');
    expect(isWaitingForPassword(client)).toBe(false);
    const second = client.password!();
    expect(isWaitingForPassword(client)).toBe(true);
    settle!.reject(new Error('no token'));
    await expect(second).rejects.toThrow('no token');
    expect(isWaitingForPassword(client)).toBe(false);
  });

  it.each(['28P01', '28000'])('reports a password that the server has refused (%s)', async (code) => {
    const { client, failed, refused } = clientWithSource(() => Promise.resolve('old'));
    await client.password!();
    failed(refusal(code));
    expect(refused).toEqual(['old']);
  });

  it('reports no password when the connect fails for another reason, or before the source was called', async () => {
    const { client, failed, refused } = clientWithSource(() => Promise.resolve('good'));
    failed(refusal('28P01'));
    await client.password!();
    failed(refusal('3D000'));
    failed(new Error('Connection terminated unexpectedly'));
    expect(refused).toStrictEqual([]);
  });
});
