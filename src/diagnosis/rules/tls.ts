import type { FailureRule } from '../failure-rule.js';

/**
 * Encryption and certificates. A failed handshake often surfaces as EPROTO, because the startup packet is waiting to be
 * sent when the handshake fails.
 */
export const TLS: readonly FailureRule[] = [
  {
    code: 'TLS_NOT_OFFERED',
    category: 'tls',
    meaning: 'the settings require TLS, and the server does not offer it',
    hint: 'Turn TLS on at the server. If the network is trusted, set DB_SSL_MODE=disable instead.',
    signs: [{ message: /does not support SSL/i, example: 'The server does not support SSL connections' }],
  },
  {
    code: 'TLS_REQUIRED',
    category: 'tls',
    meaning: 'the server requires TLS, and the connection uses none',
    hint: 'Set DB_SSL_MODE=verify-full, and DB_SSL_CA if the certificate is signed by a private authority.',
    // "no pg_hba.conf entry …, no encryption"
    precedes: ['CLIENT_NOT_ALLOWED'],
    signs: [
      {
        message: /no pg_hba\.conf entry .{0,300}(no encryption|SSL off)/,
        example: 'no pg_hba.conf entry for host "127.0.0.1", user "app", database "app", no encryption',
        codes: ['28000'],
      },
      {
        message: /connection is insecure/i,
        example: 'connection is insecure (try using `sslmode=require`)',
        codes: ['XX000', '08P01'],
      },
      { message: /^(SSL|TLS) (is )?required/i, example: 'SSL required', codes: ['08P01', '28000'] },
    ],
  },
  {
    code: 'TLS_CERTIFICATE_UNTRUSTED',
    category: 'tls',
    meaning: "the server's certificate is not signed by a trusted authority",
    hint: "Set DB_SSL_CA to the authority's certificate, as PEM text or as a path.",
    signs: [
      'SELF_SIGNED_CERT_IN_CHAIN',
      'DEPTH_ZERO_SELF_SIGNED_CERT',
      'UNABLE_TO_VERIFY_LEAF_SIGNATURE',
      'UNABLE_TO_GET_ISSUER_CERT',
      'UNABLE_TO_GET_ISSUER_CERT_LOCALLY',
      'CERT_SIGNATURE_FAILURE',
      'INVALID_CA',
    ],
  },
  {
    code: 'TLS_CERTIFICATE_EXPIRED',
    category: 'tls',
    meaning: "the server's certificate has expired",
    hint: 'Renew the certificate on the server, or correct the clock of this machine.',
    signs: ['CERT_HAS_EXPIRED'],
  },
  {
    code: 'TLS_CERTIFICATE_NOT_YET_VALID',
    category: 'tls',
    meaning: "the server's certificate is not valid yet",
    hint: 'Correct the clock of this machine, or of the machine that issued the certificate.',
    signs: ['CERT_NOT_YET_VALID'],
  },
  {
    code: 'TLS_HOST_MISMATCH',
    category: 'tls',
    meaning: "the server's certificate is for another host name",
    hint: 'Connect by a host name that the certificate contains, or issue a certificate for this one.',
    signs: ['ERR_TLS_CERT_ALTNAME_INVALID'],
  },
  {
    code: 'TLS_CERTIFICATE_REVOKED',
    category: 'tls',
    meaning: "the server's certificate has been revoked",
    hint: 'Issue another certificate for the server.',
    signs: ['CERT_REVOKED'],
  },
  {
    code: 'TLS_REVOCATION_UNKNOWN',
    category: 'tls',
    meaning: "no valid revocation list covers the server's certificate",
    hint: 'Put a current list of its authority, and of each authority above it, into ssl.crl or sslcrl.',
    signs: ['UNABLE_TO_GET_CRL', 'CRL_HAS_EXPIRED', 'CRL_NOT_YET_VALID'],
  },
  {
    code: 'TLS_TAMPERED',
    category: 'tls',
    meaning: 'the server agreed to TLS and then sent something else',
    hint: 'Look for a proxy that does not support TLS, or an attacker, between this machine and the server.',
    signs: [
      'TLS_TAMPERED',
      { message: /wrong version number/, example: 'wrong version number', codes: ['EPROTO'] },
      'ERR_SSL_WRONG_VERSION_NUMBER',
    ],
  },
  {
    code: 'TLS_DIRECT_REFUSED',
    category: 'tls',
    meaning: 'the server does not accept a connection that starts with TLS',
    hint: 'Remove sslnegotiation=direct from DB_URL. PostgreSQL supports it from version 17 on; a proxy in front of it must support it, too.',
    signs: [
      'TLS_DIRECT_REFUSED',
      {
        message: /no application protocol/,
        example: 'tlsv1 alert no application protocol',
        codes: ['EPROTO'],
      },
      'ERR_SSL_TLSV1_ALERT_NO_APPLICATION_PROTOCOL',
    ],
  },
  {
    code: 'TLS_VERSION_UNSUPPORTED',
    category: 'tls',
    meaning: 'client and server have no version of TLS in common',
    hint: 'Allow TLS 1.2 or newer at the server (ssl_max_protocol_version).',
    signs: [
      {
        message: /alert protocol version|unsupported protocol/,
        example: 'tlsv1 alert protocol version',
        codes: ['EPROTO'],
      },
      'ERR_SSL_UNSUPPORTED_PROTOCOL',
      'ERR_SSL_TLSV1_ALERT_PROTOCOL_VERSION',
    ],
  },
  {
    code: 'TLS_CLIENT_CERTIFICATE_MISSING',
    category: 'tls',
    meaning: 'the server requires a client certificate',
    hint: 'Set DB_SSL_CERT and DB_SSL_KEY.',
    signs: [
      {
        message: /requires a valid client certificate|TLS client certificate required/i,
        example: 'connection requires a valid client certificate',
        codes: ['28000', '08P01'],
      },
      {
        message: /alert certificate required/,
        example: 'tlsv13 alert certificate required',
        codes: ['EPROTO'],
      },
      'ERR_SSL_TLSV13_ALERT_CERTIFICATE_REQUIRED',
    ],
  },
  {
    code: 'TLS_CLIENT_CERTIFICATE_REFUSED',
    category: 'tls',
    meaning: 'the server does not accept the client certificate',
    hint: 'Use a DB_SSL_CERT that names this role and is signed by an authority in ssl_ca_file of the server.',
    signs: [
      {
        message:
          /alert (unknown ca|bad certificate|unsupported certificate|certificate (revoked|expired|unknown))/,
        example: 'tlsv1 alert unknown ca',
        codes: ['EPROTO'],
      },
      'ERR_SSL_TLSV1_ALERT_UNKNOWN_CA',
      ...codesOfAlert('BAD_CERTIFICATE'),
      ...codesOfAlert('CERTIFICATE_EXPIRED'),
      ...codesOfAlert('CERTIFICATE_REVOKED'),
      ...codesOfAlert('CERTIFICATE_UNKNOWN'),
      {
        message: /certificate authentication failed/,
        example: 'certificate authentication failed for user "app"',
        codes: ['28000', '08P01'],
      },
    ],
  },
  {
    code: 'TLS_FAILED',
    category: 'tls',
    meaning: 'the TLS handshake failed',
    hint: 'See the message of the error and the log of the server. Client and server may have no cipher, curve or type of key in common.',
    signs: ['EPROTO', ...codesOfAlert('HANDSHAKE_FAILURE')],
  },
  {
    code: 'CHANNEL_BINDING_MISSING',
    category: 'tls',
    meaning: 'the server offers no authentication with channel binding',
    hint: 'Turn TLS and scram-sha-256 on at the server, or remove channel_binding=require from DB_URL.',
    signs: ['CHANNEL_BINDING_MISSING'],
  },
];

/** The codes of an alert: from Node 24 on, OpenSSL 3.5 writes `SSL/TLS` where earlier versions write `SSLV3`. */
function codesOfAlert(alert: string): string[] {
  return [`ERR_SSL_SSLV3_ALERT_${alert}`, `ERR_SSL_SSL/TLS_ALERT_${alert}`];
}
