export default async function teardown() {
  await globalThis.testPostgres?.dispose();
  // Node 20 has been seen to spin forever in the teardown of its environment after a run of all specs. `exit()` skips that teardown.
  // A handle that is left open still keeps the run from ending, since the event is not emitted then.
  process.once('beforeExit', () => process.exit());
}
