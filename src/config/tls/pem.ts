import { LONGEST_PATH, readTextFile, shownPath } from '../environment/text-file.js';

/** What PEM text must contain. */
export type PemKind = 'certificate' | 'key' | 'revocation list';

const HEADER: Readonly<Record<PemKind, RegExp>> = {
  certificate: /-----BEGIN (?:TRUSTED |X509 )?CERTIFICATE-----/,
  key: /-----BEGIN (?:[A-Z]+ )?PRIVATE KEY-----/,
  'revocation list': /-----BEGIN X509 CRL-----/,
};
const DESCRIPTION: Readonly<Record<PemKind, string>> = {
  certificate: 'a PEM certificate (-----BEGIN CERTIFICATE-----)',
  key: 'a PEM private key (-----BEGIN PRIVATE KEY-----)',
  'revocation list': 'a PEM revocation list (-----BEGIN X509 CRL-----)',
};

/**
 * Reads a setting that holds PEM text or the path of a PEM file. A variable often holds PEM text in one line, with `\n`
 * written out for each line end.
 */
export function readPem(given: string | Uint8Array, kind: PemKind): { pem: string } | { problem: string } {
  const text = (typeof given === 'string' ? given : Buffer.from(given).toString('utf8')).trim();
  if (text.includes('-----BEGIN')) {
    const pem = text.replace(/\\r?\\n|\\n/g, '\n');
    return HEADER[kind].test(pem) ? { pem } : { problem: `the text is PEM, but not ${DESCRIPTION[kind]}` };
  }
  if (typeof given !== 'string') return { problem: `the buffer does not hold ${DESCRIPTION[kind]}` };
  if (/[\n\r]/.test(text) || text.length > LONGEST_PATH)
    return { problem: `a string of ${text.length} characters is neither a path nor ${DESCRIPTION[kind]}` };
  // PEM text without its header may be a bare key, so messages show only what is certainly a path.
  const read = readTextFile(text);
  if ('problem' in read) return { problem: `${read.problem}; give PEM text or the path of a PEM file` };
  return HEADER[kind].test(read.text)
    ? { pem: read.text }
    : { problem: `the file${shownPath(text)} does not hold ${DESCRIPTION[kind]}` };
}
