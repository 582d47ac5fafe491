import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from '@jest/globals';
import { createAuthority } from '../../../test/support/certificates.js';
import { readPem } from './pem.js';

describe('readPem', () => {
  let folder: string;
  let cert: string;
  let key: string;
  beforeAll(async () => {
    folder = mkdtempSync(join(tmpdir(), 'pem-'));
    ({ cert, key } = await (await createAuthority()).issueServer());
    writeFileSync(join(folder, 'cert.pem'), cert);
    writeFileSync(join(folder, 'empty.pem'), '');
  });
  afterAll(() => rmSync(folder, { recursive: true, force: true }));

  it('reads PEM text', () => {
    expect(readPem(cert, 'certificate')).toEqual({ pem: cert.trim() });
    expect(readPem(key, 'key')).toEqual({ pem: key.trim() });
  });

  it('reads PEM text with \\n written out, as variables often hold it', () => {
    expect(readPem(cert.replace(/\n/g, '\\n'), 'certificate')).toEqual({ pem: cert.trim() });
    expect(readPem(cert.replace(/\n/g, '\\r\\n'), 'certificate')).toEqual({ pem: cert.trim() });
  });

  it('reads a buffer', () => {
    expect(readPem(Buffer.from(cert), 'certificate')).toEqual({ pem: cert.trim() });
  });

  it('reads a file', () => {
    expect(readPem(join(folder, 'cert.pem'), 'certificate')).toEqual({ pem: cert });
  });

  it.each([
    ['a file that is not there', () => join(folder, 'gone.pem'), /gone\.pem does not exist/],
    ['a directory', () => folder, /is a directory/],
    ['a file without PEM', () => join(folder, 'empty.pem'), /empty\.pem does not hold a PEM certificate/],
    ['a key instead of a certificate', () => key, /PEM, but not a PEM certificate/],
    ['a buffer of something else', () => Buffer.from([1, 2, 3]), /buffer does not hold/],
    ['several lines that are not PEM', () => 'MIIB\nAAAA', /a string of 9 characters is neither a path/],
  ])('refuses %s', (_, given, message) => {
    expect(readPem(given(), 'certificate')).toEqual({ problem: expect.stringMatching(message) });
  });

  it('does not repeat a key without its header', () => {
    const body = key.replace(/-----.*-----|\n/g, '');
    expect(JSON.stringify(readPem(body, 'key'))).not.toContain(body.slice(0, 12));
    expect(JSON.stringify(readPem(key.replace(/-----.*-----/g, ''), 'key'))).not.toContain(body.slice(0, 12));
  });
});
