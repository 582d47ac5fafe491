/** What the host of a Neon endpoint says: `ep-cool-name-123456-pooler.eu-central-1.aws.neon.tech`. */
export interface NeonHost {
  /** The first label, without `-pooler`; what `options=endpoint%3D…` names where TLS cannot. */
  readonly endpoint: string;
  /** Whether it leads to PgBouncer, in transaction mode. */
  readonly pooled: boolean;
  /** The host past the pooler. */
  readonly direct: string;
}

const NEON =
  /^(?<endpoint>[a-z0-9-]+?)(?<pooler>-pooler)?(?<domain>\.(?:[a-z0-9-]+\.)*neon\.(?:tech|build))\.?$/i;

/** The parts of a host of Neon; undefined for any other. See https://neon.com/docs/connect/connection-pooling */
export function neonHost(host: string): NeonHost | undefined {
  const parts = NEON.exec(host)?.groups;
  if (!parts) return undefined;
  const { endpoint = '', pooler, domain = '' } = parts;
  return { endpoint, pooled: pooler !== undefined, direct: `${endpoint}${domain}` };
}
