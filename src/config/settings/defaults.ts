import type {
  ConnectRetrySettings,
  EchoSettings,
  MultiplexSettings,
  PoolSettings,
  PreparedStatementSettings,
  TimeoutSettings,
} from '../../database.options.js';
import { GROUPS } from './settings.js';
import type { GroupName } from './settings.js';

/** The defaults in the groups of settings. The options, the URL and the profile take precedence. */
export const DEFAULTS = {
  pool: defaultsOf<PoolSettings>('pool'),
  timeouts: defaultsOf<TimeoutSettings>('timeouts'),
  connectRetry: defaultsOf<ConnectRetrySettings>('connectRetry'),
  echo: defaultsOf<EchoSettings>('echo'),
  preparedStatements: defaultsOf<PreparedStatementSettings>('preparedStatements'),
  multiplex: defaultsOf<MultiplexSettings>('multiplex'),
};

/** Every row of these groups has a default, so that every key of `T` is present. */
function defaultsOf<T>(group: GroupName): Readonly<Required<T>> {
  const entries = Object.entries(GROUPS[group]).map(([key, row]) => [key, row.default]);
  return Object.fromEntries(entries) as Required<T>;
}
