import { isIP } from 'node:net';
import { checkServerIdentity } from 'node:tls';
import type { ConnectionOptions as TlsOptions } from 'node:tls';
import type { ResolvedSsl, SslMode, SslSettings } from '../../database.options.js';
import type { Problems } from '../problems/problems.js';
import { MASK, printedAs } from '../../text/masking.js';
import { SETTINGS } from '../settings/settings.js';
import { isSocket, isThisMachine } from '../url/local-host.js';
import { readSslFiles } from './ssl-files.js';
import type { SslFiles } from './ssl-files.js';
import { chooseMode } from './ssl-mode.js';
import type { ChosenMode, SslSources } from './ssl-mode.js';

/**
 * Resolves TLS for one server: the mode, the trusted authorities, and the client's certificate. Settings that contradict each
 * other are problems, so that a connection is never weaker than one of them demands.
 */
export function resolveSsl(sources: SslSources, problems: Problems): ResolvedSsl & ChosenMode {
  const { settings, host, url } = sources;
  const given: SslSettings = typeof settings === 'object' ? settings : {};
  const { mode: _mode, ca: _ca, cert: _cert, key: _key, negotiation: _negotiation, ...others } = given;
  const passed = withVersions(sources, others, problems);
  const negotiation = given.negotiation ?? url?.sslNegotiation ?? SETTINGS['ssl.negotiation'].default;
  const chosen = chooseMode(sources, given, passed, problems);
  const files = readSslFiles(sources, given, problems);
  if (chosen.mode === 'disable') {
    checkPlainText(sources, given, chosen, negotiation === 'direct', problems);
    return { ...chosen, negotiation, tls: false };
  }
  if (isSocket(host))
    problems.add(
      'ssl.mode',
      `is ${chosen.mode}, but PostgreSQL does not encrypt a socket; use disable, or a host`,
    );
  if (chosen.mode === 'verify-ca' && files.ca === undefined && passed.secureContext === undefined)
    problems.add(
      sources.nameOf('ssl.ca', given.ca),
      'verify-ca demands a CA (DB_SSL_CA, ssl.ca or sslrootcert): PEM text or the path of a PEM file',
    );
  return { ...chosen, negotiation, tls: tlsOptions(chosen.mode, host, passed, files) };
}

/** The secure versions of TLS. RFC 8996 deprecates all older ones. */
const VERSIONS = ['TLSv1.2', 'TLSv1.3'] as const;

/** The versions of TLS from the settings, else from the URL; a version below 1.2 is refused. */
function withVersions(
  { url, urlName, nameOf }: SslSources,
  passed: TlsOptions,
  problems: Problems,
): TlsOptions {
  const versions: TlsOptions = {};
  for (const [key, parameter, inUrl] of [
    ['minVersion', 'ssl_min_protocol_version', url?.sslMinVersion],
    ['maxVersion', 'ssl_max_protocol_version', url?.sslMaxVersion],
  ] as const) {
    const version = passed[key] ?? inUrl;
    if (version === undefined) continue;
    const setting =
      passed[key] === undefined ? `${urlName} (${parameter})` : nameOf(`ssl.${key}`, passed[key]);
    const known = VERSIONS.find((one) => one === version);
    if (known === undefined)
      problems.add(setting, `is not one of ${VERSIONS.join(', ')}; older versions are insecure`);
    else versions[key] = known;
  }
  if (versions.minVersion === 'TLSv1.3' && versions.maxVersion === 'TLSv1.2')
    problems.add('ssl.maxVersion', 'is below the minimum version; leave out one of them');
  if (passed.secureProtocol !== undefined)
    problems.add('ssl.secureProtocol', 'is deprecated and can switch off TLS 1.3; use ssl.minVersion');
  return { ...passed, ...versions };
}

/** Refuses settings of TLS together with mode `disable`, and warns when the connection leaves this machine. */
function checkPlainText(
  { urlName, nameOf, host }: SslSources,
  given: SslSettings,
  chosen: ChosenMode,
  isDirect: boolean,
  problems: Problems,
): void {
  if (isDirect)
    problems.add(
      given.negotiation === undefined ? `${urlName} (sslnegotiation)` : 'ssl.negotiation',
      'is direct, which needs TLS, but the mode is disable; leave out one of them',
    );
  const unused = (['ca', 'cert', 'key'] as const)
    .filter((key) => given[key] !== undefined)
    .map((key) => nameOf(`ssl.${key}`, given[key]));
  if (unused.length > 0) {
    const message = `is disable, but ${unused.join(', ')} is given; leave out one of them`;
    if (chosen.from === 'url') problems.add(urlName, `sslmode ${message}`);
    else problems.add(nameOf('ssl.mode', given.mode), message);
  }
  if (!isThisMachine(host))
    problems.warn(
      'ssl.mode',
      `the connection to ${host} is in plain text, so that others in the network can read the password and the data; ` +
        `set DB_SSL_MODE or ssl.mode to require if the server supports TLS`,
    );
}

function tlsOptions(mode: SslMode, host: string, passed: TlsOptions, files: SslFiles): TlsOptions {
  const servername = passed.servername ?? (isIP(host) === 0 ? host : undefined);
  const tls: TlsOptions = {
    minVersion: 'TLSv1.2',
    rejectUnauthorized: true,
    ...withoutUndefined(passed),
    ...(servername !== undefined && { servername }),
    ...files,
  };
  if (mode === 'verify-ca') tls.checkServerIdentity = () => undefined;
  // `pg` overwrites servername with the host. The certificate must still be for the given servername.
  else if (passed.servername !== undefined && passed.checkServerIdentity === undefined)
    tls.checkServerIdentity = (_host, certificate) => checkServerIdentity(passed.servername!, certificate);
  return withHiddenKey(tls);
}

/** `minVersion: undefined` would override the default. */
const withoutUndefined = (options: TlsOptions): TlsOptions =>
  Object.fromEntries(Object.entries(options).filter(([, value]) => value !== undefined));

/** Hides the key from `inspect` and JSON. */
function withHiddenKey(tls: TlsOptions): TlsOptions {
  const masked = () => ({
    ...tls,
    ...(tls.key !== undefined && { key: MASK }),
    ...(tls.passphrase !== undefined && { passphrase: MASK }),
    ...(tls.pfx !== undefined && { pfx: MASK }),
  });
  return Object.freeze(printedAs(tls, masked));
}
