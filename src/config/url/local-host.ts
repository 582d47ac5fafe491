import { BlockList, isIP } from 'node:net';

const loopback = new BlockList();
loopback.addSubnet('127.0.0.0', 8);
loopback.addAddress('0.0.0.0');
loopback.addAddress('::1', 'ipv6');
loopback.addAddress('::', 'ipv6');

const nearby = new BlockList();
nearby.addSubnet('10.0.0.0', 8);
nearby.addSubnet('172.16.0.0', 12);
nearby.addSubnet('192.168.0.0', 16);
nearby.addSubnet('169.254.0.0', 16);
nearby.addSubnet('fc00::', 7, 'ipv6');
nearby.addSubnet('fe80::', 10, 'ipv6');

const LOCAL_DOMAIN = /\.(?:local|internal|svc|localhost)$/;

const plain = (host: string) => host.toLowerCase().replace(/\.$/, '');
const inList = (list: BlockList, host: string) => {
  // BlockList knows no zone, and judges ::ffff:127.0.0.1 by the rules for 127.0.0.1.
  const zone = host.indexOf('%');
  const address = zone < 0 ? host : host.slice(0, zone);
  return isIP(address) !== 0 && list.check(address, isIP(address) === 6 ? 'ipv6' : 'ipv4');
};

export const isSocket = (host: string) => host.startsWith('/');

/** Whether what is sent to `host` stays on this machine. */
export function isThisMachine(host: string): boolean {
  const name = plain(host);
  return isSocket(name) || name === 'localhost' || name.endsWith('.localhost') || inList(loopback, name);
}

/** Whether `host` is *written* as a local one. What it resolves to doesn't count: that may change, or be forged. */
export function isLocalHost(host: string): boolean {
  const name = plain(host);
  if (isThisMachine(name) || inList(nearby, name)) return true;
  if (isIP(name) !== 0) return false;
  // 134744072 and 0x08080808 are a single label and, to the resolver, the address 8.8.8.8.
  const label =
    !name.includes('.') && !name.includes(':') && /[a-z]/.test(name) && !/^0x[0-9a-f]+$/.test(name);
  return label || LOCAL_DOMAIN.test(name);
}
