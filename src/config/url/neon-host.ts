/** The parts of the host of a Neon endpoint: `ep-cool-name-123456-pooler.eu-central-1.aws.neon.tech`. */
interface NeonHost {
  /** The first label without `-pooler`. A client without a TLS server name sends it as `options=endpoint%3D…`. */
  readonly endpoint: string;
  /** Whether the host leads to Neon's PgBouncer, in transaction mode. */
  readonly isPooled: boolean;
  /** The host without the pooler. */
  readonly direct: string;
}

const NEON =
  /^(?<endpoint>[a-z0-9-]+?)(?<pooler>-pooler)?(?<domain>\.(?:[a-z0-9-]+\.)*neon\.(?:tech|build))\.?$/i;

/** The parts of a host of Neon; undefined for any other host. See https://neon.com/docs/connect/connection-pooling */
export function neonHost(host: string): NeonHost | undefined {
  const parts = NEON.exec(host)?.groups;
  if (!parts) return undefined;
  const { endpoint = '', pooler, domain = '' } = parts;
  return { endpoint, isPooled: pooler !== undefined, direct: `${endpoint}${domain}` };
}
