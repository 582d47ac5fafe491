import { spawn } from 'node:child_process';
import type { ChildProcess } from 'node:child_process';
import { once } from 'node:events';

/**
 * Waits until its input ends: this process has closed the input or has ended, even by SIGKILL. Then it ends the process
 * groups that were reported as started and not as ended, and removes the folder.
 *
 * Zombies (`Z`) count as ended: in some containers the first process does not reap them.
 */
const script = `
alive() {
  kill -0 "$1" 2>/dev/null || return 1
  case $(cat "/proc/$1/stat" 2>/dev/null) in *') Z '*) return 1 ;; esac
}
running=
while read -r word pid signal; do
  if [ "$word" = started ]; then
    running="$running $pid:$signal"
  else
    rest=
    for p in $running; do [ "\${p%:*}" = "$pid" ] || rest="$rest $p"; done
    running=$rest
  fi
done
for p in $running; do kill -s "\${p#*:}" -- "-\${p%:*}" 2>/dev/null; done
for p in $running; do
  p=\${p%:*} tries=0
  while alive "$p" && [ $tries -lt 200 ]; do sleep 0.05; tries=$((tries + 1)); done
  kill -KILL -- "-$p" 2>/dev/null
done
rm -rf -- "$1" || { sleep 1; rm -rf -- "$1"; }
`;

/** Cleans up after this process, however it ends. */
export class Watchdog {
  private constructor(
    private readonly process: ChildProcess,
    private readonly input: NodeJS.WritableStream,
  ) {}

  static over(folder: string): Watchdog {
    const child = spawn('/bin/sh', ['-c', script, 'sh', folder], {
      // In a session of its own: Ctrl-C at the terminal, or its closing, must not end the watchdog.
      detached: true,
      cwd: '/',
      stdio: ['pipe', 'ignore', 'ignore'],
    });
    // If the watchdog was killed, writes to its input fail.
    child.stdin.on('error', () => undefined);
    child.unref();
    (child.stdin as unknown as { unref(): void }).unref();
    return new Watchdog(child, child.stdin);
  }

  /**
   * From now on the group of the process ends with this process: by this signal, and if necessary by KILL. The process must
   * be the leader of its group (`detached`).
   */
  started(pid: number, signal: 'INT' | 'QUIT'): void {
    this.input.write(`started ${pid} ${signal}\n`);
  }

  ended(pid: number): void {
    this.input.write(`ended ${pid}\n`);
  }

  /** Ends the process groups that run and removes the folder. */
  async release(): Promise<void> {
    if (this.process.exitCode !== null || this.process.signalCode !== null) return;
    const gone = once(this.process, 'exit');
    this.process.ref();
    this.input.end();
    await gone;
  }
}
