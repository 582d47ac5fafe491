import { randomBytes } from 'node:crypto';
import {
  access,
  chmod,
  constants,
  link,
  mkdir,
  realpath,
  rename,
  stat,
  unlink,
  writeFile,
} from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { fileProblem } from '../../config/environment/text-file.js';
import { CommandError } from '../../errors/command.error.js';

/**
 * Writes a file as a whole or not at all: a reader never sees half of it. A symbolic link and the permissions of the file stay as they are;
 * a device or a pipe, such as `/dev/stdout`, is written to and not replaced.
 *
 * @throws CommandError if the file cannot be written
 */
export async function replaceFile(file: string, text: string): Promise<void> {
  const existing = await stat(file).catch(() => undefined);
  if (existing && !existing.isFile())
    return writeFile(file, text).catch((error: unknown) => fail(file, error));
  const target = existing ? await realpath(file) : file;
  // A rename asks for permission to write the folder, not the file.
  if (existing) await access(target, constants.W_OK).catch((error: unknown) => fail(file, error));
  await withTemporaryFile(target, text, async (temporary) => {
    if (existing) await chmod(temporary, existing.mode);
    await rename(temporary, target);
  });
}

/**
 * Creates a file and its folder.
 *
 * @throws CommandError if the file exists or cannot be written
 */
export async function createFile(file: string, text: string): Promise<void> {
  await mkdir(dirname(file), { recursive: true }).catch((error: unknown) => fail(dirname(file), error));
  await withTemporaryFile(file, text, async (temporary) => {
    // link() fails for a file that exists, where rename() would replace it.
    await link(temporary, file);
    await unlink(temporary);
  });
}

async function withTemporaryFile(file: string, text: string, finish: (temporary: string) => Promise<void>) {
  // In the same folder: a rename does not cross file systems.
  const temporary = join(dirname(file), `.nestjs-database-${randomBytes(6).toString('hex')}.tmp`);
  try {
    await writeFile(temporary, text, { flag: 'wx' });
    await finish(temporary);
  } catch (error) {
    await unlink(temporary).catch(() => undefined);
    fail(file, error);
  }
}

function fail(file: string, error: unknown): never {
  const { code } = error as NodeJS.ErrnoException;
  if (code === 'EEXIST') throw new CommandError('file', `The file ${file} exists; it is not overwritten.`);
  if (code === 'ENOENT') throw new CommandError('file', `The folder ${dirname(file)} does not exist.`);
  throw new CommandError('file', `The file ${file} ${fileProblem(error).replace('be read', 'be written')}.`);
}
