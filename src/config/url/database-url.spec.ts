import { inspect } from 'node:util';
import { describe, expect, it } from '@jest/globals';
import * as fc from 'fast-check';
import { Secret } from '../secrets/secret.js';
import { parseDatabaseUrl } from './database-url.js';

const parts = (text: string) => {
  const { host, port, username, password, database, problems } = parseDatabaseUrl(text);
  return { host, port, username, password: password?.reveal(), database, problems };
};
const right = {
  host: 'db.example.com',
  port: undefined,
  username: 'me',
  password: 'pw',
  database: 'app',
  problems: [],
};

describe('parseDatabaseUrl', () => {
  it.each([
    ['postgres://me:pw@db.example.com/app', {}],
    ['postgresql://me:pw@db.example.com/app', {}],
    ['POSTGRES://me:pw@db.example.com/app', {}],
    ['  postgres://me:pw@db.example.com/app\n', {}],
    ['postgres://me:pw@db.example.com:6543/app', { port: 6543 }],
    ['postgres://me:pw@db.example.com:/app', {}],
    ['postgres://me:pw@db.example.com', { database: undefined }],
    ['postgres://me:pw@db.example.com/', { database: undefined }],
    ['postgres://me@db.example.com/app', { password: undefined }],
    ['postgres://me:@db.example.com/app', { password: undefined }],
    ['postgres://db.example.com/app', { username: undefined, password: undefined }],
    ['postgres://me:a:b:c@db.example.com/app', { password: 'a:b:c' }],
    [
      'postgres://m%40e:p%40%2F%3F%23%25%27%22%60%3A@db.example.com/a%20%2Fb',
      { username: 'm@e', password: `p@/?#%'"\`:`, database: 'a /b' },
    ],
    [`postgres://me:it's"all\`fine@db.example.com/app`, { password: `it's"all\`fine` }],
    ['postgres://me:p%C3%A4ss@db.example.com/app', { password: 'päss' }],
    ['postgres://me:päss@db.example.com/app', { password: 'päss' }],
    ['postgres://me:pw@my_db/app', { host: 'my_db' }],
    ['postgres://me:pw@bücher.example/app', { host: 'xn--bcher-kva.example' }],
    ['postgres://me:pw@10.0.0.1/app', { host: '10.0.0.1' }],
    ['postgres://me:pw@[::1]/app', { host: '::1' }],
    ['postgres://me:pw@[2001:db8::5]:5433/app', { host: '2001:db8::5', port: 5433 }],
    ['postgres://me:pw@[fe80::1%25eth0]/app', { host: 'fe80::1%eth0' }],
    ['postgres://me:pw@%2Fvar%2Frun/app', { host: '/var/run' }],
    ['postgres://me:pw@%2Fvar%2Frun:5433/app', { host: '/var/run', port: 5433 }],
    ['postgres:///app?host=/var/run/postgresql&user=me&password=pw', { host: '/var/run/postgresql' }],
    ['postgres://me:pw@/app?host=/var/run/postgresql', { host: '/var/run/postgresql' }],
    [
      'postgres://me:pw@localhost/app?host=/cloudsql/project:region:instance',
      { host: '/cloudsql/project:region:instance' },
    ],
    ['postgres://me:pw@/?host=db.example.com&port=7&dbname=app', { port: 7 }],
    ['postgres://me:p@ss@db.example.com/app', { password: 'p@ss' }],
  ])('reads %p', (text, expected) => {
    expect(parts(text)).toEqual({ ...right, ...expected });
  });

  it.each([
    ['not a url', /white space/],
    ['nonsense', /not a URL \(a string of 8 characters\)/],
    ['', /not a URL/],
    ['mysql://me:pw@host/app', /starts with mysql:\/\/, not with postgres:\/\/ or postgresql:\/\//],
    ['https://example.com', /starts with https/],
    ['"postgres://me:pw@host/app"', /enclosed in quotes/],
    ['postgres:me:pw@host', /not a URL/],
    ['postgres://me:pw@host:99999/app', /port is not a whole number from 1 to 65535$/],
    ['postgres://me:pw@host:0/app', /port/],
    ['postgres://me:pw@host:abc/app', /port.*percent-encode/],
    ['postgres://me:pw@/app', /host is empty/],
    ['postgres:///app', /host is empty.*socket/],
    ['postgres://', /host is empty/],
    ['postgres://me:pw@:5432/app', /host is empty/],
    ['postgres://me:pw@a,b/app', /several hosts/],
    ['postgres://me:pw@a:1,b:2/app', /several hosts/],
    ['postgres://me:pw@ho st/app', /white space/],
    ['postgres://me:pw@h!st/app', /character that no host name has/],
    ['postgres://me:pw@::1/app', /\[::1\]:5432/],
    ['postgres://me:pw@[::1/app', /cannot be distinguished/],
    ['postgres://me:pw@[nonsense]/app', /not an IPv6 address/],
    ['postgres://me:p/w@host/app', /percent-encode/],
    ['postgres://me:p?w@host/app', /percent-encode/],
    ['postgres://me:p#w@host/app', /percent-encode/],
    ['postgres://me:12/3@host/app', /percent-encode/],
    ['postgres://me:12?3@host/app', /percent-encode/],
    ['postgres://me:12#3@host/app', /percent-encode/],
    ['postgres://me:p%w@host/app', /the password contains a % that encodes nothing/],
    ['postgres://me:p%00w@host/app', /null character/],
    ['postgres://me:pw@host/app/more', /second \//],
    ['postgres://me:pw@host/app?host=a,b', /neither the name of one host/],
    ['postgres://me:pw@host/app?target_session_attrs=master', /target_session_attrs is not one of any, /],
  ])('refuses %p', (text, message) => {
    const { problems } = parts(text);
    expect(problems).toHaveLength(1);
    expect(problems[0]).toMatch(message);
  });

  it('warns of an @ in the password, which other programs read differently', () => {
    expect(parseDatabaseUrl('postgres://me:p@ss@host/app').warnings).toEqual([expect.stringMatching(/%40/)]);
  });

  it('returns the user, password, host, port and database that a URL was built from', () => {
    const text = fc
      .string({ minLength: 1, maxLength: 30, unit: 'grapheme' })
      .filter((t) => !t.includes('\0'));
    const host = fc.oneof(
      fc.domain(),
      fc.ipV4(),
      fc.ipV6().map((ip) => `[${ip}]`),
    );
    fc.assert(
      fc.property(
        text,
        text,
        text,
        host,
        fc.integer({ min: 1, max: 65535 }),
        (user, password, database, host, port) => {
          const url = `postgres://${encodeURIComponent(user)}:${encodeURIComponent(password)}@${host}:${port}/${encodeURIComponent(database)}`;
          expect(parts(url)).toEqual({
            host: host.replace(/^\[|\]$/g, ''),
            port,
            username: user,
            password,
            database,
            problems: [],
          });
        },
      ),
    );
  });

  it('shows no password in problems and warnings, whether encoded or not, and whether the URL is valid or not', () => {
    const secret = fc
      .string({ minLength: 6, maxLength: 20, unit: fc.constantFrom(...`XYZQJ789@/?#%:&=[],'"\`! `) })
      .filter((text) => /[XYZQJ]/.test(text));
    const shape = fc.constantFrom(
      (s: string) => `postgres://me:${s}@db.example.com:5432/app`,
      (s: string) => `postgres://me:${s}@db.example.com:99999/app`,
      (s: string) => `postgres://me:${s}/app`,
      (s: string) => `mysql://me:${s}@db.example.com/app`,
      (s: string) => `postgres:/me:${s}@db.example.com/app`,
      (s: string) => `postgres://me@db.example.com/app?password=${s}`,
      (s: string) => `postgres://${s}`,
      (s: string) => `"postgres://me:${s}@db.example.com/app"`,
      (s: string) => s,
    );
    fc.assert(
      fc.property(secret, shape, (secret, shape) => {
        const parsed = parseDatabaseUrl(shape(secret));
        const shown = inspect([parsed.problems, parsed.warnings, parsed.password], { depth: 9 });
        for (const piece of secret.split(/[^XYZQJ789]+/))
          if (/[XYZQJ]/.test(piece)) expect(shown).not.toContain(piece);
      }),
      { numRuns: 2_000 },
    );
  });
});

/**
 * Every parameter of libpq 18 (https://www.postgresql.org/docs/18/libpq-connect.html#LIBPQ-PARAMKEYWORDS) and two that
 * older ones have, with a value that is not its default. `host` and the like are tested with the rest of the URL above.
 */
const LIBPQ: Record<string, string> = {
  host: 'other',
  hostaddr: '10.0.0.1',
  port: '6543',
  dbname: 'other',
  user: 'other',
  password: 'pw',
  passfile: '/home/me/.pgpass',
  require_auth: 'scram-sha-256',
  channel_binding: 'require',
  connect_timeout: '7',
  client_encoding: 'LATIN1',
  options: '-c geqo=off',
  application_name: 'a',
  fallback_application_name: 'a',
  keepalives: '0',
  keepalives_idle: '7',
  keepalives_interval: '7',
  keepalives_count: '7',
  tcp_user_timeout: '7',
  replication: 'database',
  gssencmode: 'prefer',
  sslmode: 'verify-full',
  requiressl: '1',
  sslnegotiation: 'direct',
  sslcompression: '1',
  sslcert: '/c.pem',
  sslkey: '/k.pem',
  sslkeylogfile: '/keys',
  sslpassword: 'pw',
  sslcertmode: 'require',
  sslrootcert: 'system',
  sslcrl: '/crl.pem',
  sslcrldir: '/crls',
  sslsni: '0',
  requirepeer: 'postgres',
  ssl_min_protocol_version: 'TLSv1.3',
  ssl_max_protocol_version: 'TLSv1.2',
  min_protocol_version: '3.2',
  max_protocol_version: '2.0',
  krbsrvname: 'postgres',
  gsslib: 'gssapi',
  gssdelegation: '1',
  scram_client_key: 'a',
  scram_server_key: 'a',
  service: 'a',
  servicefile: '/service.conf',
  target_session_attrs: 'read-write',
  load_balance_hosts: 'random',
  oauth_issuer: 'https://a',
  oauth_client_id: 'a',
  oauth_client_secret: 'a',
  oauth_scope: 'a',
};

/** What would print, with the secrets in it. */
const bare = (parameters: object) =>
  Object.entries(parameters).map(([key, value]) => [key, Secret.is(value) ? value.reveal() : value]);

describe('A parameter of a URL', () => {
  const read = (query: string) => parseDatabaseUrl(`postgres://me@host/app?${query}`);

  it('is read when it is supported', () => {
    const { parameters, problems, warnings } = read(
      'sslmode=verify-ca&sslrootcert=/ca.pem&sslcert=/c.pem&sslkey=/k.pem&application_name=my%20app&connect_timeout=15' +
        '&options=-c%20geqo%3Doff&channel_binding=require&statement_timeout=5000&lock_timeout=0&target_session_attrs=any',
    );
    expect({ problems, warnings }).toEqual({ problems: [], warnings: [] });
    expect(parameters).toMatchObject({
      sslMode: 'verify-ca',
      sslCa: '/ca.pem',
      sslCert: '/c.pem',
      sslKey: '/k.pem',
      applicationName: 'my app',
      startupOptions: '-c geqo=off',
      channelBinding: 'require',
      timeouts: { connectMs: 15_000, statementMs: 5_000, lockMs: 0 },
    });
  });

  it.each([
    ['ssl=true', 'require'],
    ['ssl=1', 'require'],
    ['ssl=false', 'disable'],
    ['ssl=no-verify', 'no-verify'],
    ['ssl=true&sslmode=verify-full', 'verify-full'],
  ])('%p means sslmode %p', (query, mode) => {
    expect(read(query).parameters.sslMode).toBe(mode);
  });

  it('sslrootcert=system sets no CA: the authorities that Node.js trusts apply', () => {
    expect(read('sslrootcert=system').parameters.sslCa).toBeUndefined();
  });

  it.each(['foo=1', 'pool_timeout=3', 'schema=x', 'uselibpqcompat=true', 'keepalives=0'])(
    '%p has no effect, and a warning names it',
    (query) => {
      const { warnings, problems } = read(query);
      expect(problems).toEqual([]);
      expect(warnings).toEqual([
        expect.stringContaining(`the parameter ${query.split('=')[0]!} has no effect`),
      ]);
    },
  );

  it.each(Object.entries(LIBPQ))(
    'of libpq is applied, refused by name or warned of by name: %s',
    (name, value) => {
      const { parameters, problems, warnings } = read(`${name}=${encodeURIComponent(value)}`);
      const { parameters: nothing } = read('');
      const isUsed = JSON.stringify(bare(parameters)) !== JSON.stringify(bare(nothing));
      const messages = [...problems, ...warnings];
      expect({ name, isUsed: isUsed || messages.length > 0, messages }).toEqual({
        name,
        isUsed: true,
        messages: isUsed ? [] : [expect.stringContaining(name)],
      });
    },
  );

  it('causes no warning when its value is what happens in any case', () => {
    for (const query of [
      'gssencmode=disable&sslcompression=0&sslsni=1&sslcertmode=allow&client_encoding=UTF-8&keepalives=1',
      'load_balance_hosts=disable&replication=off&min_protocol_version=3.0&max_protocol_version=latest',
      'target_session_attrs=any&sslkeylogfile=&gssdelegation=0',
    ])
      expect(read(query)).toMatchObject({ problems: [], warnings: [] });
  });

  it('require_auth lists allowed methods or excluded methods', () => {
    expect(read('require_auth=scram-sha-256').parameters.requireAuth).toEqual(['scram-sha-256']);
    expect(read('require_auth=md5,scram-sha-256').parameters.requireAuth).toEqual(['md5', 'scram-sha-256']);
    expect(read('require_auth=!password,!none').parameters.requireAuth).toEqual(['md5', 'scram-sha-256']);
    expect(read('require_auth=gss').parameters.requireAuth).toEqual([]);
    for (const wrong of ['scram', '!none,md5', 'md5,'])
      expect(read(`require_auth=${wrong}`).problems).toEqual([
        expect.stringMatching(/^require_auth is not a list/),
      ]);
  });

  it.each([
    ['requiressl=0', /requiressl is not 1/],
    ['sslmode=disable&ssl=true', /sslmode is disable, but ssl or requiressl demands TLS/],
    ['requiressl=1&sslmode=disable', /sslmode is disable, but ssl or requiressl demands TLS/],
    ['sslnegotiation=maybe', /sslnegotiation is not one of postgres, direct/],
    ['gssencmode=require', /the parameter gssencmode is not supported; GSSAPI/],
    ['connect_timeout=0', /connect_timeout is not a whole number of seconds from 1 to 120/],
    ['connect_timeout=abc', /connect_timeout/],
    ['statement_timeout=1s', /statement_timeout is not a whole number of milliseconds/],
    ['channel_binding=maybe', /not one of disable, prefer, require/],
    ['ssl=maybe', /neither true nor false/],
    ['port=abc', /parameter port/],
    ['sslmode', /not of the form name=value/],
    ['a=%zz', /not of the form/],
    ['sslmode=require&sslmode=disable', /given twice/],
  ])('%p is refused', (query, message) => {
    expect(read(query).problems).toEqual([expect.stringMatching(message)]);
  });
});
