import { createPrivateKey, X509Certificate } from 'node:crypto';
import { isIP } from 'node:net';
import { checkServerIdentity, type ConnectionOptions as TlsOptions } from 'node:tls';
import type { ResolvedSsl, SslMode, SslSettings } from '../database.options.js';
import { isLocalHost, isSocket, isThisMachine } from './local-host.js';
import { readPem, type PemKind } from './pem.js';
import type { Problems } from './problems.js';
import { Secret } from './secret.js';
import type { UrlParameters } from './url-parameters.js';

export const SSL_MODES = ['disable', 'require', 'verify-ca', 'verify-full'] as const satisfies SslMode[];
const MODES = SSL_MODES.join(', ');
/** What is encrypted but trusts anybody; a URL may ask for it, the code has to confirm it. */
const UNVERIFIED = 'no-verify';
const MODERN = ['TLSv1.2', 'TLSv1.3'];

/** Everything that has a say in how a connection is encrypted. */
export interface SslSources {
  readonly settings: boolean | SslSettings | undefined;
  readonly url: UrlParameters | undefined;
  /** Where the URL came from, for messages: `DB_URL` or `url`. */
  readonly urlName: string;
  readonly host: string;
  /** What a message calls the setting. */
  readonly nameOf: (path: string, value: unknown) => string;
}

interface Choice {
  readonly mode: SslMode;
  readonly from: 'options' | 'url' | 'default';
}

/** Mode, trust and identity for `tls.connect`. Whatever is in doubt is a problem, so that nothing is weaker than asked for. */
export function resolveSsl(sources: SslSources, problems: Problems): ResolvedSsl & Choice {
  const { settings, host } = sources;
  const given: SslSettings = typeof settings === 'object' ? settings : {};
  const { mode: _, ca: _ca, cert: _cert, key: _key, ...passed } = given;
  const choice = chooseMode(sources, given, passed, problems);
  const pems = readPems(sources, given, passed, problems);
  if (choice.mode === 'disable') {
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
  if (choice.mode === 'verify-ca' && pems.ca === undefined && passed.secureContext === undefined)
    problems.add(
      sources.nameOf('ssl.ca', given.ca),
      'verify-ca demands a CA (DB_SSL_CA, ssl.ca or sslrootcert): PEM text or the path of a PEM file',
    );
  checkProtocol(passed, problems);
  return { ...choice, tls: tlsOptions(choice.mode, host, passed, pems) };
}

function tlsOptions(mode: SslMode, host: string, passed: TlsOptions, pems: Pems): TlsOptions {
  const name = passed.servername ?? (isIP(host) === 0 ? host : undefined);
  const tls: TlsOptions = {
    minVersion: 'TLSv1.2',
    rejectUnauthorized: true,
    ...defined(passed),
    ...(name !== undefined && { servername: name }),
    ...pems,
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
    [given.ca, given.cert, given.key, url?.sslCa, url?.sslCert, url?.sslKey].some(
      (one) => one !== undefined,
    ) || Object.values(passed).some((one) => one !== undefined);
  return { mode: wanted || !isLocalHost(host) ? 'verify-full' : 'disable', from: 'default' };
}

function refusedMode(mode: string): string {
  if (mode === 'prefer' || mode === 'allow')
    return `sslmode=${mode} goes on in plain text when the server (or somebody in between) asks for it; allowed are ${MODES}`;
  if (mode === UNVERIFIED)
    return `sslmode=no-verify trusts anybody; allowed are ${MODES}, or ssl: { rejectUnauthorized: false } in code`;
  return `sslmode is none of ${MODES}`;
}

type Pems = Pick<TlsOptions, 'ca' | 'cert' | 'key'>;
type Pem = 'ca' | 'cert' | 'key';

const PARAMETERS = { ca: 'sslrootcert', cert: 'sslcert', key: 'sslkey' } as const;
const FROM_URL = { ca: 'sslCa', cert: 'sslCert', key: 'sslKey' } as const;

function readPems(sources: SslSources, given: SslSettings, passed: TlsOptions, problems: Problems): Pems {
  const { url, urlName } = sources;
  const found: Pems = {};
  const names: Partial<Record<Pem, string>> = {};
  for (const part of ['ca', 'cert', 'key'] as const) {
    const value = given[part] ?? url?.[FROM_URL[part]];
    if (value === undefined) continue;
    const setting =
      given[part] === undefined
        ? `${urlName} (${PARAMETERS[part]})`
        : sources.nameOf(`ssl.${part}`, given[part]);
    const kind: PemKind = part === 'key' ? 'key' : 'certificate';
    const read = readPem(Secret.is(value) ? value.reveal() : value, kind);
    const wrong = 'problem' in read ? read.problem : unusable(read.pem, kind, passed.passphrase);
    if (wrong !== undefined) problems.add(setting, wrong);
    else if ('pem' in read) found[part] = read.pem;
    names[part] = setting;
  }
  if (names.cert && !names.key && !passed.pfx)
    problems.add(names.cert, 'is given without its key (DB_SSL_KEY, ssl.key or sslkey)');
  if (names.key && !names.cert && !passed.pfx)
    problems.add(names.key, 'is given without its certificate (DB_SSL_CERT, ssl.cert or sslcert)');
  if (names.key && found.cert && found.key && !belongTogether(found, passed.passphrase))
    problems.add(names.key, `is not the key of the certificate in ${names.cert}`);
  return found;
}

function unusable(pem: string, kind: PemKind, passphrase: string | undefined): string | undefined {
  try {
    if (kind === 'certificate') new X509Certificate(pem);
    else createPrivateKey({ key: pem, ...(passphrase !== undefined && { passphrase }) });
    return undefined;
  } catch (error) {
    const code = (error as NodeJS.ErrnoException).code;
    if (code === 'ERR_MISSING_PASSPHRASE') return 'the key is encrypted; give ssl.passphrase in code';
    // OpenSSL's words hold no content of the file.
    return `the ${kind} cannot be read${code ? ` (${code})` : ''}; it is cut off, damaged or needs another passphrase`;
  }
}

function belongTogether({ cert, key }: Pems, passphrase: string | undefined): boolean {
  const secret = createPrivateKey({
    key: key as string,
    ...(passphrase !== undefined && { passphrase }),
  });
  return new X509Certificate(cert as string).checkPrivateKey(secret);
}

function checkProtocol(passed: TlsOptions, problems: Problems): void {
  for (const key of ['minVersion', 'maxVersion'] as const)
    if (passed[key] !== undefined && !MODERN.includes(passed[key]))
      problems.add(`ssl.${key}`, `is none of ${MODERN.join(', ')}; older versions are broken`);
  if (passed.secureProtocol !== undefined)
    problems.add('ssl.secureProtocol', 'is deprecated and can switch off TLS 1.3; use ssl.minVersion');
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
