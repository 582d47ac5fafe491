import { describe, expect, it } from '@jest/globals';
import { CommandError } from '../errors/command.error.js';
import { readArguments } from './arguments.js';

const SPECS = {
  json: { help: 'prints JSON' },
  out: { value: 'FILE', short: 'o', help: 'the file' },
  import: { value: 'MODULE', isRepeatable: true, help: 'a module' },
  transaction: { value: 'MODE', help: 'the mode' },
};
const read = (...args: string[]) => readArguments(args, SPECS);

describe('readArguments', () => {
  it('reads flags, values, repeated values and operands', () => {
    const args = read('Name', '--json', '--out=a=b', '--import', 'x', '--import', 'y', '--', '--operand');
    expect(args.positionals).toEqual(['Name', '--operand']);
    expect([args.has('json'), args.has('transaction')]).toEqual([true, false]);
    expect([args.get('out'), args.all('import'), args.all('out')]).toEqual(['a=b', ['x', 'y'], ['a=b']]);
    expect(read('-o', 'file').get('out')).toBe('file');
  });

  it('names an unknown option and the option that is probably meant', () => {
    expect(() => read('--jsno')).toThrow('Unknown option --jsno; did you mean --json?');
    expect(() => read('--wat')).toThrow(/^Unknown option --wat\.$/);
    expect(() => read('-x')).toThrow(/^Unknown option -x\.$/);
    expect(() => read('--constructor')).toThrow(/^Unknown option --constructor\.$/);
  });

  it('repeats no argument that may be a URL with a password', () => {
    for (const argument of [
      '--postgres://me:secret@host/db',
      '--out=',
      '--json=postgres://me:secret@host/db',
    ])
      expect(() => read(argument)).toThrow(
        expect.not.objectContaining({ message: expect.stringContaining('secret') }),
      );
    expect(() => read('--postgres://me:secret@host/db')).toThrow('An option is unknown.');
  });

  it('refuses a missing value, also when the next option stands in its place', () => {
    for (const args of [['--out'], ['--out', '--json'], ['--out=']])
      expect(() => read(...args)).toThrow('--out needs a value: --out FILE.');
    expect(() => read('--json=yes')).toThrow('--json takes no value.');
    expect(() => read('--out', 'a', '--out', 'b')).toThrow('--out is given 2 times.');
  });

  it('allows the values of a list only', () => {
    expect(read('--transaction', 'each').oneOf('transaction', ['all', 'each'])).toBe('each');
    expect(read().oneOf('transaction', ['all', 'each'])).toBeUndefined();
    expect(() => read('--transaction', 'some').oneOf('transaction', ['all', 'each'])).toThrow(CommandError);
  });
});
