import { Session } from 'node:inspector';
import type { Debugger } from 'node:inspector';
import { fileURLToPath } from 'node:url';

/** Where a function is written. */
export interface SourceLocation {
  /** Absolute path. */
  readonly file: string;
  /** From 1 on. */
  readonly line: number;
}

/** The property of the global object by which the inspector finds the function. */
const FUNCTION = Symbol.for('nestjs-database.function-to-locate');

/**
 * Finds the file of a function or a class, however it was loaded: by `import`, `require` or a TypeScript loader. Takes up to 50 ms, so
 * it is meant for messages.
 *
 * @returns undefined for a function of the runtime, and where the inspector is not available
 */
export function sourceLocationOf(located: object): SourceLocation | undefined {
  return sourceLocationsOf([located])[0];
}

/** As `sourceLocationOf()` for several functions, in the time of one: most of it goes to the list of all scripts. */
export function sourceLocationsOf(all: readonly object[]): (SourceLocation | undefined)[] {
  const session = new Session();
  const urls = new Map<string, string>();
  const globals = globalThis as { [FUNCTION]?: object };
  try {
    session.connect();
    session.on('Debugger.scriptParsed', ({ params }: { params: Debugger.ScriptParsedEventDataType }) =>
      urls.set(params.scriptId, params.url),
    );
    const contexts: number[] = [];
    session.on('Runtime.executionContextCreated', ({ params }) => contexts.push(params.context.id));
    session.post('Debugger.enable');
    session.post('Runtime.enable');
    return all.map((located) => {
      globals[FUNCTION] = located;
      let location: Debugger.Location | undefined;
      // A test runner has contexts of its own, each with its own global object.
      for (const context of contexts) location ??= functionLocation(session, context);
      const url = location && urls.get(location.scriptId);
      if (!location || !url) return undefined;
      return {
        file: url.startsWith('file:') ? fileURLToPath(url) : url,
        line: location.lineNumber + 1,
      };
    });
  } catch {
    return all.map(() => undefined);
  } finally {
    delete globals[FUNCTION];
    session.disconnect();
  }
}

/** Callbacks of an inspector session in the same process are called before `post` returns. */
function functionLocation(session: Session, contextId: number): Debugger.Location | undefined {
  let location: Debugger.Location | undefined;
  const expression = "globalThis[Symbol.for('nestjs-database.function-to-locate')]";
  session.post('Runtime.evaluate', { expression, contextId }, (_error, { result }) => {
    const { objectId } = result;
    if (!objectId) return;
    session.post('Runtime.getProperties', { objectId, ownProperties: true }, (_failure, properties) => {
      const { internalProperties = [] } = properties;
      location = internalProperties.find(({ name }) => name === '[[FunctionLocation]]')?.value
        ?.value as typeof location;
    });
  });
  return location;
}
