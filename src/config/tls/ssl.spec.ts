import { createPrivateKey } from 'node:crypto';
import { inspect } from 'node:util';
import { beforeAll, describe, expect, it } from '@jest/globals';
import { createAuthority } from '../../../test/support/certificates.js';
import type { IssuedCertificate } from '../../../test/support/certificates.js';
import type { SslSettings } from '../../database.options.js';
import { Problems } from '../problems/problems.js';
import { Secret } from '../secrets/secret.js';
import { resolveSsl } from './ssl.js';
import { parseDatabaseUrl } from '../url/database-url.js';

const PUBLIC = 'db.example.com';

/** @param query the part of the URL after the ? */
function ssl(settings: boolean | SslSettings | undefined, query = '', host = PUBLIC) {
  const problems = new Problems();
  const url = parseDatabaseUrl(`postgres://me@host/app?${query}`).parameters;
  const resolved = resolveSsl({ settings, url, urlName: 'DB_URL', host, nameOf: (path) => path }, problems);
  return {
    ...resolved,
    problems: problems.found.map(({ setting, message }) => `${setting}: ${message}`),
    warnings: problems.warnings,
  };
}

let ca: string;
let client: IssuedCertificate;
let other: IssuedCertificate;
let revoked: string;
beforeAll(async () => {
  const authority = await createAuthority();
  ca = authority.cert;
  client = await authority.issueClient({ commonName: 'app' });
  revoked = await authority.revoke(client.cert);
  other = await authority.issueClient({ commonName: 'other' });
});

describe('The mode', () => {
  it.each<[string, string, boolean | SslSettings | undefined, string, string]>([
    ['verify-full', 'for a public host', undefined, '', PUBLIC],
    ['disable', 'for a local host', undefined, '', 'db'],
    ['verify-full', 'for a local host with sslrootcert=system', undefined, 'sslrootcert=system', 'db'],
    ['verify-full', 'for a local host with sslnegotiation=direct', undefined, 'sslnegotiation=direct', 'db'],
    ['verify-full', 'for a local host with a direct negotiation', { negotiation: 'direct' }, '', 'db'],
    ['disable', 'for a local host with sslnegotiation=postgres', undefined, 'sslnegotiation=postgres', 'db'],
    ['require', 'for requiressl=1', undefined, 'requiressl=1', 'db'],
    ['disable', 'for a socket', undefined, '', '/var/run/postgresql'],
    ['disable', 'for a local host with an empty group', {}, '', 'db'],
    ['verify-full', 'for a local host with TLS options', { rejectUnauthorized: true }, '', 'db'],
    ['verify-full', 'for a local host with a servername', { servername: 'db.example.com' }, '', '10.0.0.1'],
    ['require', 'as in the URL', undefined, 'sslmode=require', 'db'],
    ['disable', 'as in the URL, beyond a local host too', undefined, 'sslmode=disable', PUBLIC],
    ['verify-full', 'as set, whatever the URL says', { mode: 'verify-full' }, 'sslmode=disable', PUBLIC],
    ['disable', 'as set, whatever the URL says', { mode: 'disable' }, 'sslmode=require', PUBLIC],
    [
      'require',
      'as set, where the URL asks for what is refused',
      { mode: 'require' },
      'sslmode=prefer',
      PUBLIC,
    ],
    ['require', 'for true', true, '', 'db'],
    ['disable', 'for false', false, '', PUBLIC],
  ])('is %s %s', (mode, _, settings, query, host) => {
    expect(ssl(settings, query, host)).toMatchObject({ mode, problems: [] });
  });

  it('is verify-full for a local host when a CA is given', () => {
    expect(ssl({ ca }, '', 'db')).toMatchObject({
      mode: 'verify-full',
      problems: [],
      tls: { ca: ca.trim() },
    });
  });

  it.each([
    ['prefer', /sslmode=prefer falls back to plain text.*disable, require, verify-ca, verify-full/],
    ['allow', /sslmode=allow falls back to plain text.*disable, require, verify-ca, verify-full/],
    ['no-verify', /trusts any server.*rejectUnauthorized: false/],
    ['nonsense', /not one of disable, require, verify-ca, verify-full/],
  ])('must not be %p in the URL', (mode, message) => {
    expect(ssl(undefined, `sslmode=${mode}`).problems).toEqual([expect.stringMatching(message)]);
  });

  it('causes a warning when it is weaker than the sslmode of the URL', () => {
    expect(ssl({ mode: 'disable' }, 'sslmode=verify-full', '127.0.0.1').warnings).toEqual([
      expect.stringMatching(/disable takes precedence over the sslmode in DB_URL/),
    ]);
  });

  it('disable contradicts a CA', () => {
    expect(ssl({ mode: 'disable', ca }).problems).toEqual([
      expect.stringMatching(/ssl\.mode: is disable, but ssl\.ca is given/),
    ]);
    expect(ssl({ ca }, 'sslmode=disable').problems).toEqual([
      expect.stringMatching(/DB_URL: sslmode is disable, but ssl\.ca is given/),
    ]);
  });

  it('disable contradicts a direct negotiation', () => {
    expect(ssl({ mode: 'disable', negotiation: 'direct' }).problems).toEqual([
      expect.stringMatching(/^ssl\.negotiation: is direct, which needs TLS, but the mode is disable/),
    ]);
    expect(ssl(undefined, 'sslmode=disable&sslnegotiation=direct').problems).toEqual([
      expect.stringMatching(/^DB_URL \(sslnegotiation\): is direct/),
    ]);
  });

  it('must be disable for a socket', () => {
    expect(ssl({ mode: 'require' }, '', '/tmp').problems).toEqual([
      expect.stringMatching(/does not encrypt a socket/),
    ]);
  });
});

describe('Plain text', () => {
  it.each(['127.0.0.1', '::1', 'localhost', '/tmp'])('to %s causes no warning', (host) => {
    expect(ssl(undefined, '', host).warnings).toEqual([]);
  });

  it.each(['db', '10.0.0.1'])('to %s causes a warning', (host) => {
    expect(ssl(undefined, '', host).warnings).toEqual([expect.stringMatching(/plain text/)]);
  });

  it('to a public host causes a warning', () => {
    expect(ssl(false).warnings).toEqual([expect.stringMatching(/db\.example\.com is in plain text/)]);
  });
});

describe('The verification of a server', () => {
  it.each(['require', 'verify-full'] as const)('with %s covers the chain and the host name', (mode) => {
    const { tls } = ssl({ mode, ca });
    expect(tls).toMatchObject({
      rejectUnauthorized: true,
      servername: PUBLIC,
      minVersion: 'TLSv1.2',
      ca: ca.trim(),
    });
    expect(tls).not.toHaveProperty('checkServerIdentity');
  });

  it('with verify-ca covers the chain, but not the host name', () => {
    const { tls } = ssl({ mode: 'verify-ca', ca });
    if (tls === false) throw new Error('plain text');
    expect(tls).toMatchObject({ rejectUnauthorized: true });
    expect(tls.checkServerIdentity?.('other.example', {} as never)).toBeUndefined();
  });

  it('with verify-ca needs a CA', () => {
    expect(ssl({ mode: 'verify-ca' }).problems).toEqual([
      expect.stringMatching(/ssl\.ca: verify-ca demands a CA/),
    ]);
    expect(ssl(undefined, 'sslmode=verify-ca').problems).toHaveLength(1);
  });

  it('is off with rejectUnauthorized: false, with a warning and in mode require', () => {
    for (const query of ['', 'sslmode=require', 'sslmode=no-verify'])
      expect(ssl({ rejectUnauthorized: false }, query)).toMatchObject({
        mode: 'require',
        tls: { rejectUnauthorized: false },
        problems: [],
        warnings: [expect.stringMatching(/encrypted but not verified/)],
      });
  });

  it('must not be off in a mode that verifies', () => {
    expect(ssl({ rejectUnauthorized: false, mode: 'verify-full' }).problems).toHaveLength(1);
    expect(ssl({ rejectUnauthorized: false }, 'sslmode=verify-full').problems).toHaveLength(1);
  });

  it('sends no server name for an IP address', () => {
    expect(ssl(undefined, '', '8.8.8.8').tls).not.toHaveProperty('servername');
  });

  it('demands a certificate for servername when that differs from the host', () => {
    const { tls } = ssl({ servername: 'real.example.com' });
    if (tls === false) throw new Error('plain text');
    expect(tls.servername).toBe('real.example.com');
    const certificate = {
      subject: { CN: 'real.example.com' },
      subjectaltname: 'DNS:real.example.com',
    } as never;
    expect(tls.checkServerIdentity?.(PUBLIC, certificate)).toBeUndefined();
    const wrong = { subject: { CN: PUBLIC }, subjectaltname: `DNS:${PUBLIC}` } as never;
    expect(tls.checkServerIdentity?.(PUBLIC, wrong)).toHaveProperty('code', 'ERR_TLS_CERT_ALTNAME_INVALID');
  });

  it('needs TLS 1.2 or later, also when minVersion is undefined', () => {
    expect(ssl({ minVersion: 'TLSv1' }).problems).toEqual([
      expect.stringMatching(/ssl\.minVersion: is not one of TLSv1\.2/),
    ]);
    expect(ssl({ secureProtocol: 'TLSv1_method' }).problems).toHaveLength(1);
    expect(ssl({ minVersion: undefined }).tls).toMatchObject({ minVersion: 'TLSv1.2' });
    expect(ssl({ minVersion: 'TLSv1.3' }).tls).toMatchObject({ minVersion: 'TLSv1.3' });
  });
});

describe('The parameters of the URL', () => {
  it('set the versions of TLS, unless the code does', () => {
    const query = 'ssl_min_protocol_version=TLSv1.3&ssl_max_protocol_version=TLSv1.3';
    expect(ssl(undefined, query).tls).toMatchObject({ minVersion: 'TLSv1.3', maxVersion: 'TLSv1.3' });
    expect(ssl({ minVersion: 'TLSv1.2' }, query).tls).toMatchObject({ minVersion: 'TLSv1.2' });
  });

  it('must not set versions below 1.2, nor a maximum below the minimum', () => {
    expect(ssl(undefined, 'ssl_min_protocol_version=TLSv1.1').problems).toEqual([
      expect.stringMatching(/^DB_URL \(ssl_min_protocol_version\): is not one of TLSv1\.2, TLSv1\.3/),
    ]);
    expect(ssl({ minVersion: 'TLSv1.3' }, 'ssl_max_protocol_version=TLSv1.2').problems).toEqual([
      expect.stringMatching(/^ssl\.maxVersion: is below the minimum version/),
    ]);
  });

  it('decrypt a key by sslpassword, which no message shows', () => {
    const locked = createPrivateKey(client.key)
      .export({ type: 'pkcs8', format: 'pem', cipher: 'aes-256-cbc', passphrase: 'hunter2' })
      .toString();
    const given = { cert: client.cert, key: locked };
    expect(ssl(given, 'sslpassword=hunter2')).toMatchObject({ problems: [], tls: { passphrase: 'hunter2' } });
    expect(ssl(given, 'sslpassword=hunter3').problems).toEqual([
      expect.stringMatching(/^ssl\.key: the key cannot be read(?!.*hunter)/),
    ]);
    expect(ssl(given).problems).toEqual([
      expect.stringMatching(/encrypted; give ssl\.passphrase.*sslpassword/),
    ]);
  });

  it('name a revocation list, which is read and checked', () => {
    expect(ssl({ crl: revoked })).toMatchObject({ problems: [], tls: { crl: revoked.trim() } });
    expect(ssl(undefined, `sslcrl=${encodeURIComponent(revoked)}`)).toMatchObject({
      problems: [],
      tls: { crl: revoked.trim() },
    });
    expect(ssl(undefined, 'sslcrl=/nowhere/list.crl').problems).toEqual([
      expect.stringMatching(/DB_URL \(sslcrl\): the file \/nowhere\/list\.crl does not exist/),
    ]);
    expect(ssl({ crl: revoked.replace(/\n[^-]{20}/, '\n') }).problems).toEqual([
      expect.stringMatching(/^ssl\.crl: the revocation list cannot be read/),
    ]);
    expect(ssl({ crl: client.cert }).problems).toEqual([expect.stringMatching(/not a PEM revocation list/)]);
  });
});

describe('Certificate and key', () => {
  it('are passed to tls.connect together', () => {
    const { tls, problems } = ssl({ cert: client.cert, key: new Secret(client.key) });
    expect(problems).toEqual([]);
    expect(tls).toMatchObject({ cert: client.cert.trim(), key: client.key.trim() });
  });

  it('are refused one without the other', () => {
    expect(ssl({ cert: client.cert }).problems).toEqual([
      expect.stringMatching(/ssl\.cert: is given without its key/),
    ]);
    expect(ssl({ key: client.key }).problems).toEqual([
      expect.stringMatching(/ssl\.key: is given without its certificate/),
    ]);
  });

  it('are refused when they do not belong together', () => {
    expect(ssl({ cert: client.cert, key: other.key }).problems).toEqual([
      expect.stringMatching(/ssl\.key: is not the key of the certificate in ssl\.cert/),
    ]);
  });

  it('are refused when they are damaged, without showing the key', () => {
    const truncated = client.key.replace(/\n[^-]{20}/, '\n');
    const { problems } = ssl({ cert: client.cert, key: truncated });
    expect(problems).toEqual([expect.stringMatching(/ssl\.key: the key cannot be read/)]);
    expect(problems.join()).not.toContain(client.key.split('\n')[1]!.slice(25, 40));
  });

  it('are named by their parameter in the problem of a missing file', () => {
    expect(ssl(undefined, 'sslrootcert=/nowhere/ca.pem').problems).toEqual([
      expect.stringMatching(/DB_URL \(sslrootcert\): the file \/nowhere\/ca\.pem does not exist/),
    ]);
  });

  it('are hidden in outputs of the resolved options, but not in a copy of them', () => {
    const { tls } = ssl({ cert: client.cert, key: client.key, passphrase: 'hunter2' });
    const shown = inspect({ tls }, { depth: 9 }) + JSON.stringify({ tls });
    expect(shown).not.toContain('PRIVATE KEY');
    expect(shown).not.toContain('hunter2');
    expect({ ...(tls as object) }).toMatchObject({ key: client.key.trim(), passphrase: 'hunter2' });
  });
});

describe('Lists of certificates and keys', () => {
  it('hold several authorities, or one certificate or key', () => {
    const { tls, problems } = ssl({
      ca: [ca, Buffer.from(ca)],
      cert: [client.cert],
      key: [{ pem: client.key }],
    });
    expect(problems).toEqual([]);
    expect(tls).toMatchObject({ cert: client.cert.trim() });
    expect(String((tls as { ca: string }).ca).match(/BEGIN CERTIFICATE/g)).toHaveLength(2);
    expect(inspect(tls)).not.toContain('PRIVATE KEY');
  });

  it('are refused when they hold several client certificates or keys', () => {
    expect(ssl({ cert: [client.cert, other.cert], key: [client.key] }).problems).toEqual([
      'ssl.cert: is a list of 2; give one',
    ]);
  });
});
