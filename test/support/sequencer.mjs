import Sequencer from '@jest/test-sequencer';

/** The specs that last longest: one of them at the end would run alone, with the other processor idle. */
const LONGEST = [
  'test/package-nest11/',
  'test/cli/migrations.',
  'test/unit-of-work/many-requests',
  'test/example/example.',
  'src/pool/pool-model',
  'test/config/bad-input',
  'test/package/package.',
  'test/connection/linear-time',
];

/** Runs the longest specs first, and all others as Jest would: a fresh clone knows no durations and goes by file size. */
export default class LongestFirst extends Sequencer {
  sort(tests) {
    const rank = ({ path }) => {
      const index = LONGEST.findIndex((part) => path.replaceAll('\\', '/').includes(`/${part}`));
      return index < 0 ? LONGEST.length : index;
    };
    return super.sort(tests).sort((a, b) => rank(a) - rank(b));
  }
}
