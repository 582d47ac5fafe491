import { RuleList } from './rule-list.js';
import { LOGIN } from './rules/login.js';
import { NEON } from './rules/neon.js';
import { NETWORK } from './rules/network.js';
import { POOL } from './rules/pool.js';
import { POOLER } from './rules/pooler.js';
import { CONNECTION_FAILED, SERVER } from './rules/server.js';
import { TIMEOUTS } from './rules/timeouts.js';
import { TLS } from './rules/tls.js';

/**
 * The failures of a connection, while it is opened and afterwards.
 *
 * The order matters when the messages of two rules overlap: providers and poolers quote the server, so their rules come
 * first. Each rule lists in `precedes` the rules that must follow it. A test checks the order.
 */
export const CONNECTION_RULES = new RuleList([
  ...NETWORK,
  ...TLS,
  ...NEON,
  ...POOLER,
  ...LOGIN,
  ...SERVER,
  ...TIMEOUTS,
  CONNECTION_FAILED,
  ...POOL,
]);
