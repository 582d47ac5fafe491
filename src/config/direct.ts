import type { DirectServer, PasswordSource, SecretText } from '../database.options.js';
import { neonHost } from './neon.js';
import type { CheckedSettings } from './options-check.js';
import { Origins } from './origins.js';
import { Problems } from './problems.js';
import { Secret } from './secret.js';
import { resolveServer, type Server } from './server.js';
import { resolveSsl } from './ssl.js';

/** The way past the pooler: `directUrl`, else that of a pooled host of Neon; undefined where there is none of its own. */
export function resolveDirect(
  given: CheckedSettings,
  server: Server<SecretText | PasswordSource>,
  origins: Origins,
  problems: Problems,
): DirectServer | undefined {
  const found = new Problems();
  const name = origins.nameOf('directUrl', given.directUrl);
  const direct = directOf(given, server, found);
  if (!direct) return undefined;
  const { address, password, url } = direct;
  const ssl = resolveSsl(
    {
      settings: given.ssl,
      url: url?.parameters,
      urlName: 'url',
      host: address.host,
      nameOf: (path, value) => origins.nameOf(path, value),
    },
    found,
  );
  // What is said of a URL there is said of this one.
  for (const { setting, message } of found.found) problems.add(setting === 'url' ? name : setting, message);
  for (const warning of found.warnings) {
    const told = warning.replace(/^url: /, `${name}: `);
    if (!problems.warnings.includes(told)) problems.warnings.push(told);
  }
  origins.choose('directUrl', [
    ['options', given.directUrl],
    ['url', address.host],
  ]);
  return {
    server: address,
    password,
    ssl: { mode: ssl.mode, negotiation: ssl.negotiation, tls: ssl.tls },
    channelBinding: url?.parameters.channelBinding,
    requireAuth: url?.parameters.requireAuth,
    serverKind: url?.parameters.serverKind,
    startupOptions: url?.parameters.startupOptions,
  };
}

function directOf(
  given: CheckedSettings,
  server: Server<SecretText | PasswordSource>,
  problems: Problems,
): Server<SecretText | PasswordSource> | undefined {
  const { address, password } = server;
  // `directUrl: process.env.X ?? ''` is no URL.
  if (given.directUrl !== undefined && Secret.from(given.directUrl).reveal().trim() !== '') {
    const direct = resolveServer({ url: given.directUrl }, undefined, new Origins(undefined), problems);
    // A URL without a password means the same user's.
    const shared = direct.address.username === address.username ? password : undefined;
    return { ...direct, password: direct.url?.password ?? shared };
  }
  const neon = neonHost(address.host);
  return neon?.pooled ? { ...server, address: { ...address, host: neon.direct } } : undefined;
}
