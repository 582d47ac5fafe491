import { createPrivateKey, X509Certificate } from 'node:crypto';
import { createSecureContext } from 'node:tls';
import type { ConnectionOptions as TlsOptions } from 'node:tls';
import type { SecretText, SslSettings } from '../../database.options.js';
import { readPem } from './pem.js';
import type { PemKind } from './pem.js';
import type { Problems } from '../problems/problems.js';
import { Secret } from '../secrets/secret.js';
import type { UrlParameters } from '../url/url-parameters.js';

/** Where certificates and keys come from, with the names in messages. */
export interface SslFileSources {
  readonly url: UrlParameters | undefined;
  /** The name of the URL in messages: `DB_URL` or `url`. */
  readonly urlName: string;
  /** The name of a setting in messages. */
  readonly nameOf: (path: string, value: unknown) => string;
}

/** The certificates and keys for `tls.connect`. */
export type SslFiles = Pick<TlsOptions, 'ca' | 'cert' | 'key' | 'crl' | 'passphrase'>;

const FILES = {
  ca: { parameter: 'sslrootcert', urlKey: 'sslCa', kind: 'certificate' },
  cert: { parameter: 'sslcert', urlKey: 'sslCert', kind: 'certificate' },
  key: { parameter: 'sslkey', urlKey: 'sslKey', kind: 'key' },
  crl: { parameter: 'sslcrl', urlKey: 'sslCrl', kind: 'revocation list' },
} as const;
type Part = keyof typeof FILES;

/** Reads and checks all certificates and keys before the first connection. Settings take precedence over the URL. */
export function readSslFiles(sources: SslFileSources, given: SslSettings, problems: Problems): SslFiles {
  const { url, urlName } = sources;
  const passphrase = given.passphrase ?? passphraseIn(given.key) ?? url?.sslPassphrase?.reveal();
  const found: SslFiles = { ...(passphrase !== undefined && { passphrase }) };
  const names: Partial<Record<Part, string>> = {};
  for (const part of ['ca', 'cert', 'key', 'crl'] as const) {
    const { parameter, urlKey, kind } = FILES[part];
    const value = given[part] ?? url?.[urlKey];
    if (value === undefined) continue;
    const setting =
      given[part] === undefined ? `${urlName} (${parameter})` : sources.nameOf(`ssl.${part}`, given[part]);
    names[part] = setting;
    // Node.js itself reads and checks a list of revocation lists.
    if (part === 'crl' && Array.isArray(value)) continue;
    const read = readPemList(value, kind, part === 'ca');
    const problem = 'problem' in read ? read.problem : contentProblem(read.pem, kind, passphrase);
    if (problem !== undefined) problems.add(setting, problem);
    else if ('pem' in read) found[part] = read.pem;
  }
  if (names.cert && !names.key && !given.pfx)
    problems.add(names.cert, 'is given without its key (DB_SSL_KEY, ssl.key or sslkey)');
  if (names.key && !names.cert && !given.pfx)
    problems.add(names.key, 'is given without its certificate (DB_SSL_CERT, ssl.cert or sslcert)');
  if (names.key && found.cert && found.key && !isKeyOfCertificate(found))
    problems.add(names.key, `is not the key of the certificate in ${names.cert}`);
  return found;
}

type PemValue = string | Uint8Array | SecretText | { readonly pem: string | Uint8Array };

/** Reads a value or a list of values into one PEM text. Only authorities may be several. */
function readPemList(
  value: PemValue | readonly PemValue[],
  kind: PemKind,
  mayBeSeveral: boolean,
): { pem: string } | { problem: string } {
  const list = Array.isArray(value) ? (value as readonly PemValue[]) : [value as PemValue];
  if (list.length > 1 && !mayBeSeveral) return { problem: `is a list of ${list.length}; give one` };
  const parts: string[] = [];
  for (const one of list) {
    const read = readPem(pemOf(one), kind);
    if ('problem' in read) return read;
    parts.push(read.pem);
  }
  return { pem: parts.join('\n') };
}

function pemOf(value: PemValue): string | Uint8Array {
  if (Secret.is(value)) return value.reveal();
  return typeof value === 'object' && 'pem' in value ? value.pem : value;
}

/** The passphrase of a key in a list: `tls.connect` takes `[{ pem, passphrase }]`. */
function passphraseIn(key: SslSettings['key']): string | undefined {
  const [first] = Array.isArray(key) ? key : [];
  return typeof first === 'object' && 'passphrase' in first ? first.passphrase : undefined;
}

function contentProblem(pem: string, kind: PemKind, passphrase: string | undefined): string | undefined {
  // Checked here: OpenSSL reports an encrypted key by different codes, depending on the kind of key and on earlier calls.
  if (kind === 'key' && passphrase === undefined && /ENCRYPTED/.test(pem))
    return 'the key is encrypted; give ssl.passphrase in code, or sslpassword in the URL';
  try {
    if (kind === 'certificate') new X509Certificate(pem);
    else if (kind === 'revocation list') createSecureContext({ crl: pem });
    else createPrivateKey({ key: pem, ...(passphrase !== undefined && { passphrase }) });
    return undefined;
  } catch (error) {
    const code = (error as NodeJS.ErrnoException).code;
    // The code of OpenSSL reveals nothing of the file.
    const cause = kind === 'key' ? 'it is damaged, or the passphrase is wrong' : 'it is damaged';
    return `the ${kind} cannot be read${code ? ` (${code})` : ''}; ${cause}`;
  }
}

function isKeyOfCertificate({ cert, key, passphrase }: SslFiles): boolean {
  const secret = createPrivateKey({
    key: key as string,
    ...(passphrase !== undefined && { passphrase }),
  });
  return new X509Certificate(cert as string).checkPrivateKey(secret);
}
