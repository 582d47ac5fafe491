import { readFileSync } from 'node:fs';

/** What a file or text has to hold. */
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
 * PEM text from a setting that is PEM text, or the path of a file that holds it. Variables often hold it in one line
 * with `\n` written out; those are read as line ends.
 */
export function readPem(given: string | Uint8Array, kind: PemKind): { pem: string } | { problem: string } {
  const text = (typeof given === 'string' ? given : Buffer.from(given).toString('utf8')).trim();
  if (text.includes('-----BEGIN')) {
    const pem = text.replace(/\\r?\\n|\\n/g, '\n');
    return BEGINS[kind].test(pem) ? { pem } : { problem: `the text is PEM, but not ${WANTED[kind]}` };
  }
  if (typeof given !== 'string') return { problem: `the buffer does not hold ${WANTED[kind]}` };
  // A text that lost its header is the bare key, so only what is surely a path is repeated.
  const path = looksLikePath(text) ? ` ${text}` : '';
  if (/[\n\r]/.test(text) || text.length > 4_096)
    return { problem: `a text of ${text.length} characters is neither a path nor ${WANTED[kind]}` };
  let content: string;
  try {
    content = readFileSync(text, 'utf8');
  } catch (error) {
    return { problem: `the file${path} ${reason(error)}; allowed are PEM text and the path of a PEM file` };
  }
  return BEGINS[kind].test(content)
    ? { pem: content }
    : { problem: `the file${path} does not hold ${WANTED[kind]}` };
}

function looksLikePath(text: string): boolean {
  if (text.length > 255) return false;
  return /^(?:\/|\.{1,2}\/|~|[A-Za-z]:\\)/.test(text) || /\.(?:pem|crt|cer|cert|key|p8|ca|crl)$/i.test(text);
}

function reason(error: unknown): string {
  const code = (error as NodeJS.ErrnoException).code;
  if (code === 'ENOENT' || code === 'ENOTDIR') return 'does not exist';
  if (code === 'EACCES' || code === 'EPERM') return 'cannot be read by this user';
  if (code === 'EISDIR') return 'is a folder';
  return `cannot be read${code ? ` (${code})` : ''}`;
}
