/** A place in the code. Its stack is formatted only when it is read. */
export interface CallSite {
  stack?: string;
}

/** A function, as `Error.captureStackTrace` takes it. */
export type Caller = (...args: unknown[]) => unknown;

/** The number of captured frames: behind those of Nest and TypeORM, the user's code is at frame 13 to 16. */
const DEPTH = 50;

/** The number of frames that an error shows. */
const SHOWN = 10;

/** The root folder of this package's code as stack frames name it, one folder above this file. */
const ownFolder = parentFolderOf(callSite(undefined, 1).stack?.split('\n')[1]);

/**
 * Captures where `below` was called; without it, where this function was called.
 * @param depth the least number of frames to keep; 0 keeps as many as `Error.stackTraceLimit`
 */
// eslint-disable-next-line @typescript-eslint/no-unsafe-function-type -- only compared with frames
export function callSite(below: Function = callSite, depth = DEPTH): CallSite {
  const site: CallSite = {};
  const limit = Error.stackTraceLimit;
  if (depth > limit) Error.stackTraceLimit = depth;
  Error.captureStackTrace(site, below);
  if (depth > limit) Error.stackTraceLimit = limit;
  return site;
}

/**
 * The frames of a call site from the first of the user's code to the last of it. Without any of the user's, all frames:
 * they show at least which part of a framework was the caller.
 */
export function callSiteFrames(site: CallSite | undefined): string | undefined {
  if (site?.stack === undefined) return undefined;
  // The first line names the object, not a frame.
  const frames = site.stack.split('\n').slice(1);
  return (framesOfUser(frames) ?? frames).join('\n');
}

/** The user's frames of an error's stack, at most ten; undefined when there are none. */
export function userFramesOf({ stack }: Error): string | undefined {
  return framesOfUser(stack?.split('\n').filter((line) => /^\s*at /.test(line)) ?? [])
    ?.slice(0, SHOWN)
    .join('\n');
}

function framesOfUser(frames: readonly string[]): string[] | undefined {
  const first = frames.findIndex(isUsers);
  if (first < 0) return undefined;
  let end = frames.length;
  while (!isUsers(frames[end - 1]!)) end -= 1;
  return frames.slice(first, end);
}

function isUsers(frame: string): boolean {
  return (
    !/[\\/]node_modules[\\/]|\(?node:|<anonymous>\)|\(index \d+\)/.test(frame) && !frame.includes(ownFolder)
  );
}

/** `file:///app/dist/` of a frame in `file:///app/dist/text/call-site.js`. */
function parentFolderOf(frame = ''): string {
  const place = /(?:\(|at (?:async )?)([^()]*[\\/])[^\\/]*[\\/][^\\/]*$/.exec(frame);
  // No frame contains a line break.
  return place?.[1] ?? '\n';
}

/**
 * Makes the stack of `error` show `site`. The stack is formatted when it is read: for ten thousand waiters that are rejected
 * together, formatting would block the process for half a second.
 * @param more text behind the frames
 */
export function setStackFrom(error: Error, site: CallSite, more = ''): void {
  Object.defineProperty(error, 'stack', {
    configurable: true,
    get: () => {
      const frames = callSiteFrames(site)?.split('\n').slice(0, SHOWN).join('\n') ?? '';
      return `${error.name}: ${error.message}\n${frames}${more}`;
    },
    set(stack: string) {
      Object.defineProperty(error, 'stack', { value: stack, writable: true, configurable: true });
    },
  });
}

/** Creates an error without capturing a stack, for {@link setStackFrom}. */
export function withoutStack<E>(make: () => E): E {
  const limit = Error.stackTraceLimit;
  Error.stackTraceLimit = 0;
  try {
    return make();
  } finally {
    Error.stackTraceLimit = limit;
  }
}

/**
 * Rethrows an error of the server with the stack of the code that awaits it. The error is created where the answer is read,
 * and its own stack shows no caller. `pg` does the same for its promises.
 * @example return new Promise(start).catch(rethrowFromCaller);
 */
export function rethrowFromCaller(error: Error): never {
  // A client of another class may reject with anything.
  if (error instanceof Error) Error.captureStackTrace(error, rethrowFromCaller);
  throw error;
}
