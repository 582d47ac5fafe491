import { Req } from '@nestjs/common';
import type { CallHandler, ExecutionContext, NestInterceptor, Type } from '@nestjs/common';
import {
  INTERCEPTORS_METADATA,
  METHOD_METADATA,
  PARAMTYPES_METADATA,
  ROUTE_ARGS_METADATA,
} from '@nestjs/common/constants.js';
import { MetadataScanner } from '@nestjs/core';
import type { ApplicationConfig, ModulesContainer } from '@nestjs/core';
import type { InstanceWrapper } from '@nestjs/core/injector/instance-wrapper.js';
import type { Observable } from 'rxjs';
import { runHandler, runPerSubscription } from './handler-run.js';
import { isHttp } from './http/http-request.js';
import { lifecycleOf } from './request-lifecycle.js';
import { providesRunner } from './request-unit-of-work.js';

type Handler = (this: unknown, ...args: unknown[]) => unknown;

/**
 * Tracks the handlers of the controllers that inject a runner of the request, themselves or through a provider, a guard or another
 * enhancer: what a handler leaves open ends when the handler settles. Other controllers are left alone.
 *
 * - The method of each route gets a wrapper. Nest serves a route without interceptors without rxjs, and any interceptor would add a
 *   third to its CPU time. Nest reads the method and its parameters anew for each request of a request-scoped controller.
 * - A route with interceptors gets one more, outside of them. An interceptor may begin a transaction around the method, or abandon it,
 *   which the wrapper cannot see.
 */
export function trackHandlers(modules: ModulesContainer, config: ApplicationConfig): void {
  const tracked = [...modules.values()]
    .flatMap(({ controllers }) => [...controllers.values()])
    .filter((controller) => !controller.isDependencyTreeStatic() && injectsRunner(controller));
  if (tracked.length === 0) return;
  const hasGlobalInterceptors =
    config.getGlobalInterceptors().length > 0 || config.getGlobalRequestInterceptors().length > 0;
  // Inside the static interceptors, which may retry or abandon, and outside the others, which may begin a transaction. The routes of
  // static controllers already have their list of interceptors, without this one.
  if (hasGlobalInterceptors) config.useGlobalInterceptors(handlerInterceptor);
  for (const { metatype } of tracked) trackController(metatype as Type, hasGlobalInterceptors);
}

/** Whether the controller, a provider that it needs, or one of its guards, pipes, interceptors and filters injects a runner. */
function injectsRunner(controller: InstanceWrapper): boolean {
  const needed = new Set([controller]);
  for (const wrapper of needed) {
    if (providesRunner(wrapper)) return true;
    // Without dependencies there is no list, which Nest's types do not say.
    const dependencies = wrapper.getCtorMetadata() as InstanceWrapper[] | undefined;
    const enhancers = wrapper.getEnhancersMetadata() as InstanceWrapper[] | undefined;
    const properties = wrapper.getPropertiesMetadata() as { wrapper: InstanceWrapper }[] | undefined;
    for (const next of [...(dependencies ?? []), ...(enhancers ?? [])]) if (next) needed.add(next);
    for (const { wrapper: next } of properties ?? []) needed.add(next);
  }
  return false;
}

class HandlerInterceptor implements NestInterceptor {
  intercept(context: ExecutionContext, next: CallHandler): Observable<unknown> {
    const lifecycle =
      context.getType() === 'http' ? lifecycleOf(context.switchToHttp().getRequest()) : undefined;
    return lifecycle ? runPerSubscription(lifecycle, () => next.handle()) : next.handle();
  }
}

/** One for all apps of a process, which may share a controller class. It has no state. */
const handlerInterceptor = new HandlerInterceptor();

function trackController(controller: Type, hasGlobalInterceptors: boolean): void {
  const prototype = controller.prototype as Record<string, Handler>;
  const isIntercepted = hasGlobalInterceptors || hasInterceptors(controller);
  if (isIntercepted && !hasGlobalInterceptors) addInterceptor(controller);
  for (const name of new MetadataScanner().getAllMethodNames(prototype)) {
    const method = prototype[name];
    if (!method || !Reflect.hasMetadata(METHOD_METADATA, method)) continue;
    const isWrapped = wrapMethod(prototype, name, method);
    if (!isIntercepted && (hasInterceptors(method) || !isWrapped)) addInterceptor(method);
  }
}

function hasInterceptors(target: object): boolean {
  return interceptorsOf(target).length > 0;
}

function interceptorsOf(target: object): readonly unknown[] {
  return (Reflect.getMetadata(INTERCEPTORS_METADATA, target) as unknown[] | undefined) ?? [];
}

/** Adds the interceptor outside of those of the controller or of the method. */
function addInterceptor(target: object): void {
  const interceptors = interceptorsOf(target);
  if (interceptors.includes(handlerInterceptor)) return;
  Reflect.defineMetadata(INTERCEPTORS_METADATA, [handlerInterceptor, ...interceptors], target);
}

/** The wrappers in use. A class may be a controller of several apps, or inherit a wrapped method. */
const wrappers = new WeakSet<Handler>();

/** The metadata of `@MessagePattern()` and `@EventPattern()`. */
const MESSAGE_PATTERN = 'microservices:pattern';

/**
 * Replaces a method by a wrapper, which gets the request as one more parameter behind those of the method.
 * @returns false for a method that Nest would call with other arguments then
 */
function wrapMethod(prototype: Record<string, Handler>, name: string, method: Handler): boolean {
  if (wrappers.has(method)) return true;
  // A mixin has copied `constructor`: the parameters of the class are those of another one.
  if (prototype.constructor.prototype !== prototype) return false;
  // A method that also serves messages, whose parameters have the same metadata.
  if (Reflect.hasMetadata(MESSAGE_PATTERN, method)) return false;
  const declared = Reflect.getMetadata(ROUTE_ARGS_METADATA, prototype.constructor, name) as
    Record<string, { index: number }> | undefined;
  const types = Reflect.getMetadata(PARAMTYPES_METADATA, prototype, name) as unknown[] | undefined;
  /** The number of arguments that Nest passes. */
  const count = Math.max(0, ...Object.values(declared ?? {}).map(({ index }) => index + 1));
  // Not among the parameters without a decorator: an overriding method may pass them.
  const requestIndex = Math.max(count, method.length, types?.length ?? 0);
  const wrapper = trackedHandler(method, count, requestIndex);
  const isDefined = Reflect.defineProperty(prototype, name, {
    value: wrapper,
    writable: true,
    configurable: true,
  });
  if (!isDefined) return false;
  wrappers.add(wrapper);
  Req()(prototype, name, requestIndex);
  return true;
}

function trackedHandler(method: Handler, count: number, requestIndex: number): Handler {
  function wrapper(this: unknown, ...args: unknown[]): unknown {
    const request = args[requestIndex];
    // Called by code of the app, such as an overriding method.
    if (args.length !== requestIndex + 1 || !isHttp(request)) return method.apply(this, args);
    args.length = count;
    const lifecycle = lifecycleOf(request);
    return lifecycle ? runHandler(lifecycle, () => method.apply(this, args)) : method.apply(this, args);
  }
  // The metadata of the method, its guards for instance, is inherited.
  Object.setPrototypeOf(wrapper, method);
  Object.defineProperty(wrapper, 'name', { value: method.name, configurable: true });
  Object.defineProperty(wrapper, 'length', { value: method.length, configurable: true });
  return wrapper;
}
