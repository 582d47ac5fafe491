/** A position in the code. Node.js formats the stack only when it is read. */
export interface CallSite {
  stack?: string;
}

/** A function, as `Error.captureStackTrace` takes it. */
export type Caller = (...args: unknown[]) => unknown;

/** The number of captured frames. The code of the app is at frame 13 to 16, behind Nest and TypeORM. */
const DEPTH = 50;

/** The number of frames that an error shows. */
const SHOWN = 10;

/** The root folder of this package's code as stack frames name it, one folder above this file. */
const ownFolder = parentFolderOf(callSite(undefined, 1).stack?.split('\n')[1]);

/**
 * Captures where `callee` was called.
 * @param callee the function above whose call the stack begins. @defaultValue this function
 * @param depth the least number of frames to keep; with 0, `Error.stackTraceLimit` alone decides. @defaultValue 50
 */
// eslint-disable-next-line @typescript-eslint/no-unsafe-function-type -- only compared with frames
export function callSite(callee: Function = callSite, depth = DEPTH): CallSite {
  const site: CallSite = {};
  const limit = Error.stackTraceLimit;
  if (depth > limit) Error.stackTraceLimit = depth;
  Error.captureStackTrace(site, callee);
  if (depth > limit) Error.stackTraceLimit = limit;
  return site;
}

/**
 * The frames of a call site from the first to the last in the app's code. All frames when none is in the app's code: they
 * show at least which part of a framework was the caller.
 */
export function callSiteFrames(site: CallSite | undefined): string | undefined {
  if (site?.stack === undefined) return undefined;
  // The first line names the object, not a frame.
  const frames = site.stack.split('\n').slice(1);
  return (framesInApp(frames) ?? frames).join('\n');
}

/** The frames of an error's stack in the app's code, at most ten; undefined without such a frame. */
export function appFramesOf({ stack }: Error): string | undefined {
  return framesInApp(stack?.split('\n').filter((line) => /^\s*at /.test(line)) ?? [])
    ?.slice(0, SHOWN)
    .join('\n');
}

function framesInApp(frames: readonly string[]): string[] | undefined {
  const first = frames.findIndex(isInApp);
  if (first < 0) return undefined;
  let end = frames.length;
  while (!isInApp(frames[end - 1]!)) end -= 1;
  return frames.slice(first, end);
}

function isInApp(frame: string): boolean {
  return (
    !/[\\/]node_modules[\\/]|\(?node:|<anonymous>\)|\(index \d+\)/.test(frame) && !frame.includes(ownFolder)
  );
}

/** The folder `file:///app/dist/` for a frame in `file:///app/dist/text/call-site.js`. */
function parentFolderOf(frame = ''): string {
  const match = /(?:\(|at (?:async )?)([^()]*[\\/])[^\\/]*[\\/][^\\/]*$/.exec(frame);
  // A line break matches no frame.
  return match?.[1] ?? '\n';
}

/**
 * Makes the stack of `error` show `site`. The stack is formatted when it is read: when ten thousand waiters fail at the same
 * time, formatting all stacks would block the process for half a second.
 * @param suffix text after the frames
 */
export function setStackFrom(error: Error, site: CallSite, suffix = ''): void {
  Object.defineProperty(error, 'stack', {
    configurable: true,
    get: () => {
      const frames = callSiteFrames(site)?.split('\n').slice(0, SHOWN).join('\n') ?? '';
      return `${error.name}: ${error.message}\n${frames}${suffix}`;
    },
    set(stack: string) {
      Object.defineProperty(error, 'stack', { value: stack, writable: true, configurable: true });
    },
  });
}

/** Runs `make`, which creates an error, without capturing a stack. {@link setStackFrom} sets one later. */
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
 * where no frame shows the caller. `pg` does the same for its promises.
 * @example return new Promise(start).catch(rethrowFromCaller);
 */
export function rethrowFromCaller(error: Error): never {
  // A client of another class may reject with anything.
  if (error instanceof Error) Error.captureStackTrace(error, rethrowFromCaller);
  throw error;
}
