import { createPrivateKey } from 'node:crypto';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import pg from 'pg';
import { createAuthority, read } from './certificates.js';
import type { CertificateAuthority, IssuedCertificate } from './certificates.js';
import { startPostgres } from './postgres-server.js';
import type { PostgresServer } from './postgres-server.js';

describe('createAuthority', () => {
  it('signs server certificates for names and addresses, with keys that fit', async () => {
    const authority = await createAuthority();
    const { cert, key } = await authority.issueServer({ hosts: ['db.example', '127.0.0.1'] });
    expect(read(cert).verify(read(authority.cert).publicKey)).toBe(true);
    expect(read(cert).checkPrivateKey(createPrivateKey(key))).toBe(true);
    expect(read(cert).checkHost('db.example')).toBe('db.example');
    expect(read(cert).checkIP('127.0.0.1')).toBe('127.0.0.1');
    expect(read(cert).checkHost('other.example')).toBeUndefined();
  });

  it('issues expired certificates too', async () => {
    const { cert } = await (await createAuthority()).issueServer({ validForDays: -1 });
    expect(new Date(read(cert).validTo).getTime()).toBeLessThan(Date.now());
    expect(new Date(read(cert).validFrom).getTime()).toBeLessThan(new Date(read(cert).validTo).getTime());
  });

  it('signs an authority below it', async () => {
    const root = await createAuthority('Root');
    const middle = await root.createIntermediate('Middle');
    const { cert } = await middle.issueServer();
    expect(read(middle.cert).verify(read(root.cert).publicKey)).toBe(true);
    expect(read(cert).checkIssued(read(middle.cert))).toBe(true);
    expect(read(cert).verify(read(root.cert).publicKey)).toBe(false);
  });
});

describe('a server with TLS', () => {
  let authority: CertificateAuthority;
  let client: IssuedCertificate;
  let server: PostgresServer;

  beforeAll(async () => {
    authority = await createAuthority();
    client = await authority.issueClient({ commonName: 'app' });
    server = await startPostgres({
      tls: { ...(await authority.issueServer()), ca: authority.cert },
      hba: ['hostssl all app all cert'],
    });
  });
  afterAll(() => server?.dispose());

  it('accepts a client with a certificate, which verifies the server', async () => {
    const connection = new pg.Client({
      connectionString: server.url,
      ssl: { ca: authority.cert, ...client, servername: 'localhost' },
    });
    await connection.connect();
    const { rows } = await connection.query(
      'SELECT ssl, client_dn FROM pg_stat_ssl WHERE pid = pg_backend_pid()',
    );
    await connection.end();
    expect(rows).toEqual([{ ssl: true, client_dn: '/CN=app' }]);
  });

  it('is not trusted by a client with another authority', async () => {
    const other = await createAuthority();
    const connection = new pg.Client({ connectionString: server.url, ssl: { ca: other.cert, ...client } });
    await expect(connection.connect()).rejects.toMatchObject({
      message: expect.stringMatching(/certificate/),
    });
  });

  it('refuses a client without TLS', async () => {
    await expect(new pg.Client(server.url).connect()).rejects.toMatchObject({ code: '28000' });
  });
});
