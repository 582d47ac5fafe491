export default async function teardown() {
  await globalThis.testPostgres?.dispose();
  // When all handles are closed, Node 20 takes its environment apart, and that has been seen to spin for ever after a run of all
  // specs. What keeps the event loop alive still keeps the run from ending.
  process.once('beforeExit', () => process.exit());
}
