import { isIPv6 } from 'node:net';
import { domainToASCII } from 'node:url';

/** The directory of a socket, or a host name as DNS and TLS know it; undefined when the text is neither. */
export function hostName(text: string): string | undefined {
  if (text.startsWith('/')) return text;
  if (isIPv6(text)) return text;
  // Names in DNS contain no underscore, but those of Compose services and of Windows machines may.
  if (/^[A-Za-z0-9._-]+$/.test(text)) return text;
  // The limit of DNS. Punycode takes time that is quadratic in the length.
  if (text.length > 253) return undefined;
  return /^[\p{L}\p{M}\p{N}._-]+$/u.test(text) ? domainToASCII(text) || undefined : undefined;
}
