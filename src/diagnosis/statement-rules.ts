import { RuleList } from './rule-list.js';
import { CONCURRENCY } from './rules/statements/concurrency.js';
import { CONSTRAINTS } from './rules/statements/constraints.js';
import { EXECUTION } from './rules/statements/execution.js';
import { NAMES } from './rules/statements/names.js';
import { STATES } from './rules/statements/states.js';
import { VALUES } from './rules/statements/values.js';

/** The failures of a statement on a connection that stays open. */
export const STATEMENT_RULES = new RuleList([
  ...CONCURRENCY,
  ...CONSTRAINTS,
  ...NAMES,
  ...VALUES,
  ...STATES,
  ...EXECUTION,
]);
