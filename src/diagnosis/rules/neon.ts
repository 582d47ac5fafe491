import type { FailureRule } from '../failure-rule.js';

/** Neon's proxy reports most failures with XX000, so that the message decides. */
export const NEON: readonly FailureRule[] = [
  {
    code: 'NEON_ENDPOINT_UNNAMED',
    category: 'login',
    meaning: 'the connection does not name its Neon endpoint: TLS sent no server name',
    hint: 'Connect with TLS and the host name that Neon shows, or add ?options=endpoint%3D<endpoint-id> to DB_URL.',
    precedes: ['NEON_UNAVAILABLE'],
    signs: [
      {
        message: /endpoint ID is not specified/i,
        example: 'Endpoint ID is not specified.',
        codes: ['XX000', '08P01'],
      },
    ],
  },
  {
    code: 'NEON_ENDPOINT_NOT_FOUND',
    category: 'login',
    meaning: 'Neon has no such endpoint or project',
    hint: "Copy the host for DB_URL from Neon's console. The branch or its compute may have been deleted.",
    precedes: ['NEON_UNAVAILABLE'],
    signs: [
      {
        message:
          /(endpoint|project|branch|resource) (cannot|could not) be found|(endpoint|project|branch) not found/i,
        example: "The requested endpoint could not be found, or you don't have access to it.",
        codes: ['XX000', '08P01'],
      },
    ],
  },
  {
    code: 'NEON_ENDPOINT_DISABLED',
    category: 'login',
    meaning: 'the Neon endpoint is disabled',
    hint: "Enable it in Neon's console.",
    precedes: ['NEON_UNAVAILABLE'],
    signs: [
      {
        message: /endpoint (is|has been) disabled/i,
        example: 'The endpoint has been disabled. Enable it using Neon API and retry.',
        codes: ['XX000', '08P01'],
      },
    ],
  },
  {
    code: 'NEON_QUOTA_EXCEEDED',
    category: 'server',
    meaning: 'the Neon project has exceeded a quota',
    hint: "See the usage in Neon's console. A larger plan raises the limit; a new billing period resets the usage.",
    // "exceeded the rate limit", "Control plane request failed: … exceeded the … quota"
    precedes: ['NEON_TOO_MANY_ATTEMPTS', 'NEON_UNAVAILABLE'],
    signs: [
      {
        message: /exceeded the .{0,300}(quota|limit)/i,
        example: 'Your account or project has exceeded the compute time quota.',
        codes: ['XX000', '08P01'],
      },
    ],
  },
  {
    code: 'CLIENT_NOT_ALLOWED',
    category: 'login',
    meaning: "the provider's list of allowed addresses does not contain this client",
    hint: "Add the address of this machine to the list (Neon: IP Allow in the project's settings).",
    signs: [
      {
        message: /IP address.{0,300} is not allowed to connect/i,
        example: 'This IP address 192.0.2.1 is not allowed to connect to this endpoint.',
        codes: ['XX000', '08P01'],
      },
    ],
  },
  {
    code: 'NEON_TOO_MANY_ATTEMPTS',
    category: 'server',
    meaning: 'Neon currently accepts no further connection attempts',
    hint: 'Lower DB_POOL_SIZE, DB_MAX_OVERFLOW or the number of instances that start at the same time, or use the -pooler host.',
    transient: true,
    isWaking: true,
    httpStatus: 503,
    // "Control plane request failed: … rate limit"
    precedes: ['NEON_UNAVAILABLE'],
    signs: [
      {
        message: /too many (database )?connections? (attempts|to this endpoint)|rate limit/i,
        example: 'Too many connections attempts',
        codes: ['XX000', '08P01'],
      },
    ],
  },
  {
    code: 'NEON_UNAVAILABLE',
    category: 'server',
    meaning: 'Neon could not wake the endpoint',
    hint: 'This failure usually lasts only seconds. Otherwise, see the status page of Neon and the quotas of the project.',
    transient: true,
    isWaking: true,
    httpStatus: 503,
    signs: [
      {
        message:
          /control plane request failed|endpoint is temporarily unavailable|could ?n.t connect to compute node|could not be authorized due to an internal error/i,
        example: 'Control plane request failed',
        codes: ['XX000', '08P01', '58000'],
      },
    ],
  },
];
