import { BlockList, isIP } from 'node:net';

const loopback = new BlockList();
loopback.addSubnet('127.0.0.0', 8);
loopback.addAddress('0.0.0.0');
loopback.addAddress('::1', 'ipv6');
loopback.addAddress('::', 'ipv6');

const privateNetworks = new BlockList();
privateNetworks.addSubnet('10.0.0.0', 8);
privateNetworks.addSubnet('172.16.0.0', 12);
privateNetworks.addSubnet('192.168.0.0', 16);
privateNetworks.addSubnet('169.254.0.0', 16);
privateNetworks.addSubnet('fc00::', 7, 'ipv6');
privateNetworks.addSubnet('fe80::', 10, 'ipv6');

const LOCAL_DOMAIN = /\.(?:local|internal|svc|localhost)$/;

const normalized = (host: string) => host.toLowerCase().replace(/\.$/, '');

function isInList(list: BlockList, host: string): boolean {
  // BlockList takes no zone (fe80::1%eth0); it checks ::ffff:127.0.0.1 by the rules for 127.0.0.1.
  const zone = host.indexOf('%');
  const address = zone < 0 ? host : host.slice(0, zone);
  return isIP(address) !== 0 && list.check(address, isIP(address) === 6 ? 'ipv6' : 'ipv4');
}

/** Whether `host` is the directory of a Unix socket. */
export const isSocket = (host: string) => host.startsWith('/');

/** Whether a connection to `host` stays on this machine. */
export function isThisMachine(host: string): boolean {
  const name = normalized(host);
  return isSocket(name) || name === 'localhost' || name.endsWith('.localhost') || isInList(loopback, name);
}

/** Whether the text of `host` is that of a local one. It is not resolved: the answer of DNS may change or be forged. */
export function isLocalHost(host: string): boolean {
  const name = normalized(host);
  if (isThisMachine(name) || isInList(privateNetworks, name)) return true;
  if (isIP(name) !== 0) return false;
  // The resolver reads the single labels 134744072 and 0x08080808 as the address 8.8.8.8.
  const isLabel =
    !name.includes('.') && !name.includes(':') && /[a-z]/.test(name) && !/^0x[0-9a-f]+$/.test(name);
  return isLabel || LOCAL_DOMAIN.test(name);
}
