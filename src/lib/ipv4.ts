import { AppError } from "./errors.ts";

export interface Ipv4Range {
  /** First address, as an unsigned 32-bit number. */
  first: number;
  last: number;
  prefixLength: number;
}

/** Unsigned 32-bit number of a dotted address. Throws AppError `bad-address`. */
export const parseAddress = (text: string): number => {
  const parts = text.split(".");
  const isAddress = parts.length === 4 && parts.every((part) => /^(0|[1-9]\d{0,2})$/.test(part) && Number(part) <= 255);
  if (!isAddress) throw new AppError("invalid", "bad-address", `"${text}" is not an IPv4 address.`);
  return parts.reduce((sum, part) => sum * 256 + Number(part), 0);
};

/** `a.b.c.d/p`, or one address alone; host bits may be set, as in `192.168.100.1/24`. Throws AppError `bad-range`. */
export const parseRange = (text: string): Ipv4Range => {
  const [address = "", prefix = "32", ...rest] = text.split("/");
  const prefixLength = Number(prefix);
  if (rest.length > 0 || !/^\d{1,2}$/.test(prefix) || prefixLength > 32) {
    throw new AppError("invalid", "bad-range", `"${text}" is not an IPv4 range such as 10.1.2.0/24.`);
  }
  const size = 2 ** (32 - prefixLength);
  const first = Math.floor(parseAddress(address) / size) * size;
  return { first, last: first + size - 1, prefixLength };
};

export const overlaps = (a: Ipv4Range, b: Ipv4Range): boolean => a.first <= b.last && b.first <= a.last;

/** Dotted text of an unsigned 32-bit number. */
export const formatAddress = (address: number): string =>
  [24, 16, 8, 0].map((shift) => Math.floor(address / 2 ** shift) % 256).join(".");

/** Locally administered MAC that carries the address, so that each is known from the other. Throws AppError `bad-address`. */
export const macOf = (address: string): string => {
  const hex = parseAddress(address).toString(16).padStart(8, "0");
  return ["06", "00", ...(hex.match(/../g) ?? [])].join(":");
};

/** `a.b.c.d/p` with the host bits cleared. */
export const formatRange = ({ first, prefixLength }: Ipv4Range): string => `${formatAddress(first)}/${prefixLength}`;

/** `255.255.255.0` of 24. */
export const netmask = (prefixLength: number): string => formatAddress(2 ** 32 - 2 ** (32 - prefixLength));
