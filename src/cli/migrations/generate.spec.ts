import { describe, expect, it } from '@jest/globals';
import { readArguments } from '../arguments.js';
import { GENERATE, requirePermission } from './generate.js';

const DESTRUCTIVE = [{ sql: 'DROP TABLE "users"', reason: 'drops a table' }];

describe('The permission for destructive statements', () => {
  const ask = async (args: string[], answer: boolean | undefined, destructive = DESTRUCTIVE) => {
    let printed = '';
    const questions: string[] = [];
    const output = { write: (text: string) => (printed += text) };
    const refusal = await requirePermission(
      {
        args: readArguments(args, GENERATE.options),
        out: output,
        err: output,
        ask:
          answer === undefined
            ? undefined
            : (question) => {
                questions.push(question);
                return Promise.resolve(answer);
              },
      },
      destructive,
    ).catch((error: unknown) => error);
    return { refusal, printed, questions };
  };

  it('is asked for on a terminal, after the statements have been named', async () => {
    const { refusal, printed, questions } = await ask([], true);
    expect(refusal).toBeUndefined();
    expect(printed).toBe('! Destructive: drops a table: DROP TABLE "users"\n');
    expect(questions).toEqual(['Write 1 destructive statement into the migration?']);
  });

  it('is refused by another answer than yes, and where nobody can answer', async () => {
    for (const answer of [false, undefined])
      expect((await ask([], answer)).refusal).toMatchObject({ code: 'MIGRATION_DESTRUCTIVE' });
  });

  it('is given by --allow-destructive without a question', async () => {
    expect(await ask(['--allow-destructive'], false)).toMatchObject({ refusal: undefined, questions: [] });
  });

  it('is not needed for other statements', async () => {
    expect(await ask([], undefined, [])).toEqual({ refusal: undefined, printed: '', questions: [] });
  });
});
