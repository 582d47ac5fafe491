// A network with latency, in a process of its own, so that the load generator does not delay it: `proxy.ts <port> <ms>`.
import { startTcpProxy } from '../../test/support/tcp-proxy.js';

const [port, ms] = process.argv.slice(2).map(Number) as [number, number];
const proxy = await startTcpProxy({ port });
proxy.delay(ms);
process.on('disconnect', () => process.exit());
process.send?.(proxy.port);
