import { beforeEach, describe, expect, it } from '@jest/globals';
import { VirtualClock } from '../../../test/support/virtual-clock.js';
import { RestartDetector } from './restart-detector.js';

const failure = (message: string, code: string) => Object.assign(new Error(message), { code });
const refused = failure('connect ECONNREFUSED 127.0.0.1:5432', 'ECONNREFUSED');
const terminated = Object.assign(failure('terminating connection due to administrator command', '57P01'), {
  severity: 'FATAL',
});

let clock: VirtualClock;
let restarts: RestartDetector;
beforeEach(() => {
  clock = new VirtualClock();
  restarts = new RestartDetector(clock);
});

describe('RestartDetector', () => {
  it.each([
    ['the database system is starting up', '57P03', true],
    ['Control plane request failed', 'XX000', true],
    ['Too many connections attempts', 'XX000', true],
    ['sorry, too many clients already', '53300', false],
    ['password authentication failed for user "app"', '28P01', false],
  ])('reports for the error "%s" (%s) whether the server is starting: %s', (message, code, isStarting) => {
    expect(restarts.isStarting(failure(message, code))).toBe(isStarting);
  });

  it('expects a restart when connects are refused within five seconds after a terminated session', async () => {
    expect(restarts.isStarting(refused)).toBe(false);
    restarts.recordLoss(terminated);
    expect(restarts.isStarting(refused)).toBe(true);
    await clock.advance(5_000);
    expect(restarts.isStarting(refused)).toBe(false);
  });

  it('expects no restart after a closed socket, or when the login is refused', () => {
    restarts.recordLoss(new Error('Connection terminated unexpectedly'));
    expect(restarts.isStarting(refused)).toBe(false);
    restarts.recordLoss(terminated);
    expect(restarts.isStarting(failure('password authentication failed for user "app"', '28P01'))).toBe(
      false,
    );
  });
});
