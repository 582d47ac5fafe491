import { isIP } from 'node:net';
import { checkServerIdentity } from 'node:tls';
import type { ConnectionOptions as TlsOptions } from 'node:tls';
import type { ResolvedSsl, SslMode, SslNegotiation, SslSettings } from '../../database.options.js';
import { isLocalHost, isSocket, isThisMachine } from '../url/local-host.js';
import type { Problems } from '../problems/problems.js';
import { SSL_MODES } from '../settings/settings.js';
import { readSslFiles } from './ssl-files.js';
import type { SslFiles, SslFileSources } from './ssl-files.js';

const MODES = SSL_MODES.join(', ');
/** What is encrypted but trusts anybody; a URL may ask for it, the code has to confirm it. */
const UNVERIFIED = 'no-verify';
const MODERN = ['TLSv1.2', 'TLSv1.3'] as const;

/** Everything that has a say in how a connection is encrypted. */
export interface SslSources extends SslFileSources {
  readonly settings: boolean | SslSettings | undefined;
  readonly host: string;
}

interface Choice {
  readonly mode: SslMode;
  readonly from: 'options' | 'url' | 'default';
}

/** Mode, trust and identity for `tls.connect`. Whatever is in doubt is a problem, so that nothing is weaker than asked for. */
export function resolveSsl(sources: SslSources, problems: Problems): ResolvedSsl & Choice {
  const { settings, host } = sources;
  const given: SslSettings = typeof settings === 'object' ? settings : {};
  const { mode: _, ca: _ca, cert: _cert, key: _key, negotiation: _negotiation, ...rest } = given;
  const passed = withVersions(sources, rest, problems);
  const negotiation: SslNegotiation = given.negotiation ?? sources.url?.sslNegotiation ?? 'postgres';
  const choice = { ...chooseMode(sources, given, passed, problems), negotiation };
  const files = readSslFiles(sources, given, problems);
  if (choice.mode === 'disable') {
    if (negotiation === 'direct')
      problems.add(
        given.negotiation === undefined ? `${sources.urlName} (sslnegotiation)` : 'ssl.negotiation',
        'is direct, which needs TLS, but the mode is disable; leave out one of them',
      );
    const unused = ['ca', 'cert', 'key'].filter((key) => given[key as 'ca'] !== undefined);
    if (unused.length > 0)
      problems.add(
        choice.from === 'url' ? sources.urlName : sources.nameOf('ssl.mode', given.mode),
        `${choice.from === 'url' ? 'sslmode ' : ''}is disable, but ${unused.map((key) => sources.nameOf(`ssl.${key}`, given[key as 'ca'])).join(', ')} is given; leave out one of them`,
      );
    if (!isThisMachine(host))
      problems.warn(
        'ssl.mode',
        `the connection to ${host} is in plain text, password and data can be read on the way; ` +
          `set DB_SSL_MODE or ssl.mode to require if the server can encrypt`,
      );
    return { ...choice, tls: false };
  }
  if (isSocket(host))
    problems.add(
      'ssl.mode',
      `is ${choice.mode}, but PostgreSQL does not encrypt a socket; use disable, or a host`,
    );
  if (choice.mode === 'verify-ca' && files.ca === undefined && passed.secureContext === undefined)
    problems.add(
      sources.nameOf('ssl.ca', given.ca),
      'verify-ca demands a CA (DB_SSL_CA, ssl.ca or sslrootcert): PEM text or the path of a PEM file',
    );
  return { ...choice, tls: tlsOptions(choice.mode, host, passed, files) };
}

function tlsOptions(mode: SslMode, host: string, passed: TlsOptions, files: SslFiles): TlsOptions {
  const name = passed.servername ?? (isIP(host) === 0 ? host : undefined);
  const tls: TlsOptions = {
    minVersion: 'TLSv1.2',
    rejectUnauthorized: true,
    ...defined(passed),
    ...(name !== undefined && { servername: name }),
    ...files,
  };
  if (mode === 'verify-ca') tls.checkServerIdentity = () => undefined;
  // `pg` puts the host in the place of a servername that differs from it; the identity is still to be this one's.
  else if (passed.servername !== undefined && passed.checkServerIdentity === undefined)
    tls.checkServerIdentity = (_host, certificate) => checkServerIdentity(passed.servername!, certificate);
  return masked(tls);
}

/** `minVersion: undefined` would switch our default off. */
const defined = (options: TlsOptions): TlsOptions =>
  Object.fromEntries(Object.entries(options).filter(([, value]) => value !== undefined));

/** Explicit settings win over the URL, the URL over what the host suggests. */
function chooseMode(
  { settings, url, urlName, host, nameOf }: SslSources,
  given: SslSettings,
  passed: TlsOptions,
  problems: Problems,
): Choice {
  const explicit = typeof settings === 'boolean' ? (settings ? 'require' : 'disable') : given.mode;
  const trustsAnybody = passed.rejectUnauthorized === false;
  const fromUrl = url?.sslMode;
  if (trustsAnybody) {
    const named = explicit ?? (fromUrl === UNVERIFIED ? undefined : fromUrl);
    if (named === 'verify-ca' || named === 'verify-full' || named === 'disable')
      problems.add(
        'ssl.rejectUnauthorized',
        `is false, which verifies nothing, but ${explicit ? nameOf('ssl.mode', given.mode) : `sslmode in ${urlName}`} is ${named}; leave out one of them`,
      );
    else
      problems.warn(
        'ssl.rejectUnauthorized',
        'encrypted but not verified: whoever answers at this address is trusted with the password; give ssl.ca instead',
      );
  }
  if (explicit !== undefined) {
    if (explicit === 'disable' && fromUrl !== undefined && fromUrl !== 'disable')
      problems.warn(nameOf('ssl.mode', given.mode), `disable wins over the sslmode in ${urlName}`);
    return { mode: explicit, from: 'options' };
  }
  if (fromUrl !== undefined) {
    const known = SSL_MODES.find((mode) => mode === fromUrl);
    if (known !== undefined) return { mode: known, from: 'url' };
    if (fromUrl !== UNVERIFIED || !trustsAnybody) problems.add(urlName, refusedMode(fromUrl));
    return { mode: 'require', from: 'url' };
  }
  // `require` for what is not verified: `verify-full` would be a lie in logs.
  if (trustsAnybody) return { mode: 'require', from: 'default' };
  const wanted =
    [given.ca, given.cert, given.key, url?.sslCa, url?.sslCert, url?.sslKey, url?.sslCrl].some(
      (one) => one !== undefined,
    ) ||
    Object.values(passed).some((one) => one !== undefined) ||
    // As in libpq, where both demand TLS by themselves.
    url?.sslSystemCa === true ||
    (given.negotiation ?? url?.sslNegotiation) === 'direct';
  return { mode: wanted || !isLocalHost(host) ? 'verify-full' : 'disable', from: 'default' };
}

function refusedMode(mode: string): string {
  if (mode === 'prefer' || mode === 'allow')
    return `sslmode=${mode} goes on in plain text when the server (or somebody in between) asks for it; allowed are ${MODES}`;
  if (mode === UNVERIFIED)
    return `sslmode=no-verify trusts anybody; allowed are ${MODES}, or ssl: { rejectUnauthorized: false } in code`;
  return `sslmode is none of ${MODES}`;
}

/** The versions of TLS, from the code or else from the URL; below 1.2 none is taken. */
function withVersions(
  { url, urlName, nameOf }: SslSources,
  passed: TlsOptions,
  problems: Problems,
): TlsOptions {
  const versions: TlsOptions = {};
  for (const [key, parameter, ofUrl] of [
    ['minVersion', 'ssl_min_protocol_version', url?.sslMinVersion],
    ['maxVersion', 'ssl_max_protocol_version', url?.sslMaxVersion],
  ] as const) {
    const version = passed[key] ?? ofUrl;
    if (version === undefined) continue;
    const setting =
      passed[key] === undefined ? `${urlName} (${parameter})` : nameOf(`ssl.${key}`, passed[key]);
    const known = MODERN.find((modern) => modern === version);
    if (known === undefined)
      problems.add(setting, `is none of ${MODERN.join(', ')}; older versions are broken`);
    else versions[key] = known;
  }
  if (versions.minVersion === 'TLSv1.3' && versions.maxVersion === 'TLSv1.2')
    problems.add('ssl.maxVersion', 'is below the least version that is asked for; leave out one of them');
  if (passed.secureProtocol !== undefined)
    problems.add('ssl.secureProtocol', 'is deprecated and can switch off TLS 1.3; use ssl.minVersion');
  return { ...passed, ...versions };
}

/** Whoever prints the resolved options doesn't print the key. Not enumerable, so that a copy is plain TLS options. */
function masked(tls: TlsOptions): TlsOptions {
  const shown = () => ({
    ...tls,
    ...(tls.key !== undefined && { key: '***' }),
    ...(tls.passphrase !== undefined && { passphrase: '***' }),
    ...(tls.pfx !== undefined && { pfx: '***' }),
  });
  Object.defineProperty(tls, 'toJSON', { value: shown });
  Object.defineProperty(tls, Symbol.for('nodejs.util.inspect.custom'), { value: shown });
  return Object.freeze(tls);
}
