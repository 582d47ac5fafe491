import { chmodSync, mkdtempSync } from 'node:fs';
import { join } from 'node:path';
import { accountForServer, reachableTemporaryFolder } from './postgres-binaries.js';
import { Watchdog } from './watchdog.js';

/** A folder that goes with this process at the latest, however that ends, and the processes that work in it. */
export class TemporaryFolder {
  private readonly watchdog: Watchdog;

  private constructor(readonly path: string) {
    this.watchdog = Watchdog.over(path);
  }

  static create(name: string): TemporaryFolder {
    const account = accountForServer();
    const base = reachableTemporaryFolder(account, `/${name}-XXXXXX/nestjs-database-XXXXXX`.length);
    const folder = new TemporaryFolder(mkdtempSync(join(base, `${name}-`)));
    // A server started from here runs as another account when we are root; that one has to pass through.
    if (account) chmodSync(folder.path, 0o711);
    return folder;
  }

  /** The process, started `detached`, and its group end when this process does: Ctrl-C does not reach them. */
  guard(pid: number | undefined): void {
    if (pid !== undefined) this.watchdog.started(pid, 'INT');
  }

  /** The guarded process has ended by itself. */
  forget(pid: number | undefined): void {
    if (pid !== undefined) this.watchdog.ended(pid);
  }

  async remove(): Promise<void> {
    await this.watchdog.release();
  }
}
