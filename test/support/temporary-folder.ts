import { chmodSync, mkdtempSync } from 'node:fs';
import { join } from 'node:path';
import { accountForServer, reachableTemporaryFolder } from './postgres-binaries.js';
import { Watchdog } from './watchdog.js';

/** A folder and the processes that work in it. Both end with this process at the latest, however it ends. */
export class TemporaryFolder {
  private readonly watchdog: Watchdog;

  private constructor(readonly path: string) {
    this.watchdog = Watchdog.over(path);
  }

  static create(name: string): TemporaryFolder {
    const account = accountForServer();
    const base = reachableTemporaryFolder(account, `/${name}-XXXXXX/nestjs-database-XXXXXX`.length);
    const folder = new TemporaryFolder(mkdtempSync(join(base, `${name}-`)));
    // If this process runs as root, the server runs as another account, which must be able to enter the folder.
    if (account) chmodSync(folder.path, 0o711);
    return folder;
  }

  /** Ends the group of a process, which was started `detached`, when this process ends. Ctrl-C does not reach that group. */
  guard(pid: number | undefined): void {
    if (pid !== undefined) this.watchdog.started(pid, 'INT');
  }

  /** Reports that the guarded process has ended. */
  forget(pid: number | undefined): void {
    if (pid !== undefined) this.watchdog.ended(pid);
  }

  async remove(): Promise<void> {
    await this.watchdog.release();
  }
}
