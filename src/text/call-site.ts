/** A place in the code; its text is made only when it is read. */
export interface CallSite {
  stack?: string;
}

/** A function, as `Error.captureStackTrace` takes it. */
export type Caller = (...args: unknown[]) => unknown;

/** Frames that an error of ours is captured with: below Nest and TypeORM, the user's own code is frame 13 to 16. */
const DEPTH = 50;

/** Frames that an error shows. */
const SHOWN = 10;

/** The root folder of this package's code, as stack frames name it. This file is one folder below it. */
const ownFolder = parentFolderOf(capture(Object, 1).stack?.split('\n')[1]);

/** Remembers where the code stands that has called `below`; without it, where the caller of this function stands. */
// eslint-disable-next-line @typescript-eslint/no-unsafe-function-type -- only compared with frames
export function callSite(below: Function = callSite): CallSite {
  return capture(below, DEPTH);
}

// eslint-disable-next-line @typescript-eslint/no-unsafe-function-type -- only compared with frames
function capture(below: Function, depth: number): CallSite {
  const site: CallSite = {};
  const limit = Error.stackTraceLimit;
  Error.stackTraceLimit = Math.max(limit, depth);
  Error.captureStackTrace(site, below === Object ? capture : below);
  Error.stackTraceLimit = limit;
  return site;
}

/**
 * The frames of a captured stack, from the first of the user's code to the last of it. Where none is the user's, all of them:
 * they say at least which part of a framework has called.
 */
export function callSiteFrames(site: CallSite | undefined): string | undefined {
  if (site?.stack === undefined) return undefined;
  // The first line names no error here.
  const frames = site.stack.split('\n').slice(1);
  return (framesOfUser(frames) ?? frames).join('\n');
}

/** The part of an error's stack that is the user's code; undefined when there is none. */
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
  // A text that no frame contains.
  return place?.[1] ?? '\n';
}

/**
 * Lets an error's stack begin where its caller stood. The text is made when it is read: ten thousand waiters that are
 * given up at once would else block the process for half a second.
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

/** Makes an error without capturing its stack, for a place that {@link setStackFrom} sets. */
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
 * An error of the server is made where its answer is read; this leads its stack to who awaits the answer, as `pg` does for the
 * statements of which it makes the promise itself.
 */
export function rethrowFromCaller(error: Error): never {
  // A client of another class may throw anything.
  if (error instanceof Error) Error.captureStackTrace(error, rethrowFromCaller);
  throw error;
}
