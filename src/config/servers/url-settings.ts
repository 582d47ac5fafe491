import type { DirectServer, TimeoutSettings } from '../../database.options.js';
import type { CheckedSettings } from '../options/check-options.js';
import type { Problems } from '../problems/problems.js';
import { SETTINGS } from '../settings/settings.js';
import type { ParsedUrl } from '../url/database-url.js';

/** What the URL of a server sets for that server alone. */
type OwnSettings = Omit<DirectServer, 'server' | 'password' | 'ssl'>;

/**
 * The settings in the URL of a direct server or a replica. They take precedence over the URL of the primary, but not over
 * explicit settings.
 */
export function settingsOfUrl(
  given: CheckedSettings,
  url: ParsedUrl | undefined,
  urlName: string,
  problems: Problems,
): OwnSettings {
  const explicit: TimeoutSettings = given.timeouts ?? {};
  const timeouts = Object.entries(url?.parameters.timeouts ?? {}).filter(
    ([key]) => explicit[key as keyof TimeoutSettings] === undefined,
  );
  const applicationName = applicationNameOf(url, urlName, problems);
  return {
    channelBinding: url?.parameters.channelBinding,
    requireAuth: url?.parameters.requireAuth,
    serverKind: url?.parameters.serverKind,
    startupOptions: url?.parameters.startupOptions,
    timeouts: Object.fromEntries(timeouts),
    applicationName: given.applicationName === undefined ? applicationName : undefined,
  };
}

/** `application_name` of a URL. A name that PostgreSQL would truncate is a problem. */
export function applicationNameOf(
  url: ParsedUrl | undefined,
  urlName: string,
  problems: Problems,
): string | undefined {
  const name = url?.parameters.applicationName;
  const problem = name === undefined ? undefined : SETTINGS.applicationName.type.problemOf(name);
  if (problem !== undefined) problems.add(`${urlName} (application_name)`, problem);
  return problem === undefined ? name : undefined;
}
