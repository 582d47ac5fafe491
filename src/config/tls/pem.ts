import { readTextFile, shownPath } from '../environment/text-file.js';

/** What a file or a text must hold. */
export type PemKind = 'certificate' | 'key' | 'revocation list';

const BEGINS: Readonly<Record<PemKind, RegExp>> = {
  certificate: /-----BEGIN (?:TRUSTED |X509 )?CERTIFICATE-----/,
  key: /-----BEGIN (?:[A-Z]+ )?PRIVATE KEY-----/,
  'revocation list': /-----BEGIN X509 CRL-----/,
};
const WANTED: Readonly<Record<PemKind, string>> = {
  certificate: 'a PEM certificate (-----BEGIN CERTIFICATE-----)',
  key: 'a PEM private key (-----BEGIN PRIVATE KEY-----)',
  'revocation list': 'a PEM revocation list (-----BEGIN X509 CRL-----)',
};

/**
 * PEM text from a setting that holds it, or that holds the path of a file with it. A variable often holds PEM in one line,
 * with `\n` written out for each line end.
 */
export function readPem(given: string | Uint8Array, kind: PemKind): { pem: string } | { problem: string } {
  const text = (typeof given === 'string' ? given : Buffer.from(given).toString('utf8')).trim();
  if (text.includes('-----BEGIN')) {
    const pem = text.replace(/\\r?\\n|\\n/g, '\n');
    return BEGINS[kind].test(pem) ? { pem } : { problem: `the text is PEM, but not ${WANTED[kind]}` };
  }
  if (typeof given !== 'string') return { problem: `the buffer does not hold ${WANTED[kind]}` };
  if (/[\n\r]/.test(text) || text.length > 4_096)
    return { problem: `a text of ${text.length} characters is neither a path nor ${WANTED[kind]}` };
  // PEM text that lost its header is the bare key, so messages show only what is certainly a path.
  const read = readTextFile(text);
  if ('problem' in read)
    return { problem: `${read.problem}; allowed are PEM text and the path of a PEM file` };
  return BEGINS[kind].test(read.text)
    ? { pem: read.text }
    : { problem: `the file${shownPath(text)} does not hold ${WANTED[kind]}` };
}
