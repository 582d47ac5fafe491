/** The parts of the host of a Neon endpoint: `ep-cool-name-123456-pooler.eu-central-1.aws.neon.tech`. */
interface NeonHost {
  /** The first label without `-pooler`; `options=endpoint%3D…` names it to Neon when TLS sends no server name. */
  readonly endpoint: string;
  /** Whether the host is that of PgBouncer, in transaction mode. */
  readonly pooled: boolean;
  /** The host without the pooler. */
  readonly direct: string;
}

const NEON =
  /^(?<endpoint>[a-z0-9-]+?)(?<pooler>-pooler)?(?<domain>\.(?:[a-z0-9-]+\.)*neon\.(?:tech|build))\.?$/i;

/** Undefined for a host that is not Neon's. See https://neon.com/docs/connect/connection-pooling */
export function neonHost(host: string): NeonHost | undefined {
  const parts = NEON.exec(host)?.groups;
  if (!parts) return undefined;
  const { endpoint = '', pooler, domain = '' } = parts;
  return { endpoint, pooled: pooler !== undefined, direct: `${endpoint}${domain}` };
}
