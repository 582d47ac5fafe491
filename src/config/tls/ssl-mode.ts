import type { ConnectionOptions as TlsOptions } from 'node:tls';
import type { SslMode, SslSettings } from '../../database.options.js';
import type { Problems } from '../problems/problems.js';
import { SSL_MODES } from '../settings/settings.js';
import { isLocalHost } from '../url/local-host.js';
import type { SslFileSources } from './ssl-files.js';

/** The sources of the TLS settings of one server. */
export interface SslSources extends SslFileSources {
  readonly settings: boolean | SslSettings | undefined;
  readonly host: string;
}

/** The mode of TLS and its origin. */
export interface ChosenMode {
  readonly mode: SslMode;
  readonly from: 'options' | 'url' | 'default';
}

const MODES = SSL_MODES.join(', ');
/** The `sslmode` of `pg` that encrypts without verification; it needs `rejectUnauthorized: false` in code. */
const UNVERIFIED = 'no-verify';

/** Chooses the mode: explicit settings take precedence over the URL, and the URL over the default of the host. */
export function chooseMode(
  sources: SslSources,
  given: SslSettings,
  passed: TlsOptions,
  problems: Problems,
): ChosenMode {
  const { settings, url, urlName, nameOf } = sources;
  const explicit = typeof settings === 'boolean' ? (settings ? 'require' : 'disable') : given.mode;
  const isUnverified = passed.rejectUnauthorized === false;
  const inUrl = url?.sslMode;
  if (isUnverified) checkUnverified(explicit, sources, given, problems);
  if (explicit !== undefined) {
    if (explicit === 'disable' && inUrl !== undefined && inUrl !== 'disable')
      problems.warn(
        nameOf('ssl.mode', given.mode),
        `disable takes precedence over the sslmode in ${urlName}`,
      );
    return { mode: explicit, from: 'options' };
  }
  if (inUrl !== undefined) {
    const known = SSL_MODES.find((mode) => mode === inUrl);
    if (known !== undefined) return { mode: known, from: 'url' };
    if (inUrl !== UNVERIFIED || !isUnverified) problems.add(urlName, refusal(inUrl));
    return { mode: 'require', from: 'url' };
  }
  // The log shows the mode; `verify-full` would be untrue.
  if (isUnverified) return { mode: 'require', from: 'default' };
  const isEncrypted = impliesTls(sources, given, passed) || !isLocalHost(sources.host);
  return { mode: isEncrypted ? 'verify-full' : 'disable', from: 'default' };
}

/** `rejectUnauthorized: false` together with a mode that verifies is a problem; alone, it is a warning. */
function checkUnverified(
  explicit: SslMode | undefined,
  { url, urlName, nameOf }: SslSources,
  given: SslSettings,
  problems: Problems,
): void {
  const mode = explicit ?? (url?.sslMode === UNVERIFIED ? undefined : url?.sslMode);
  if (mode === 'verify-ca' || mode === 'verify-full' || mode === 'disable') {
    const source = explicit ? nameOf('ssl.mode', given.mode) : `sslmode in ${urlName}`;
    problems.add(
      'ssl.rejectUnauthorized',
      `is false, which verifies nothing, but ${source} is ${mode}; leave out one of them`,
    );
  } else
    problems.warn(
      'ssl.rejectUnauthorized',
      'the connection is encrypted but not verified: any server that answers at this address receives the password; give ssl.ca instead',
    );
}

function refusal(mode: string): string {
  if (mode === 'prefer' || mode === 'allow')
    return `sslmode=${mode} falls back to plain text when the server, or an attacker in between, refuses TLS; use one of ${MODES}`;
  if (mode === UNVERIFIED)
    return `sslmode=no-verify trusts any server; use one of ${MODES}, or ssl: { rejectUnauthorized: false } in code`;
  return `sslmode is not one of ${MODES}`;
}

/** Whether a setting makes sense only with TLS. In libpq, too, `sslrootcert=system` and `sslnegotiation=direct` demand TLS. */
function impliesTls({ url }: SslSources, given: SslSettings, passed: TlsOptions): boolean {
  const files = [given.ca, given.cert, given.key, url?.sslCa, url?.sslCert, url?.sslKey, url?.sslCrl];
  const others: unknown[] = Object.values(passed);
  return (
    [...files, ...others].some((value) => value !== undefined) ||
    url?.sslSystemCa === true ||
    (given.negotiation ?? url?.sslNegotiation) === 'direct'
  );
}
