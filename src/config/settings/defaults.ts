import type {
  ConnectRetrySettings,
  EchoSettings,
  PoolSettings,
  TimeoutSettings,
} from '../../database.options.js';
import { GROUPS } from './settings.js';
import type { GroupName } from './settings.js';

/** The defaults of the settings in groups, where neither the options, the URL nor the profile set another value. */
export const DEFAULTS = {
  pool: defaultsOf<PoolSettings>('pool'),
  timeouts: defaultsOf<TimeoutSettings>('timeouts'),
  connectRetry: defaultsOf<ConnectRetrySettings>('connectRetry'),
  echo: defaultsOf<EchoSettings>('echo'),
};

/** Each setting of these groups has a default, so that all keys of `T` are there. */
function defaultsOf<T>(group: GroupName): Readonly<Required<T>> {
  const entries = Object.entries(GROUPS[group]).map(([key, row]) => [key, row.default]);
  return Object.fromEntries(entries) as Required<T>;
}
