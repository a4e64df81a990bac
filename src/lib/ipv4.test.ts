import { describe, expect, test } from "vitest";
import { formatRange, macOf, overlaps, parseAddress, parseRange } from "./ipv4.ts";

describe("parseAddress", () => {
  test("takes the highest address without turning negative", () => {
    expect(parseAddress("255.255.255.255")).toBe(0xffffffff);
  });
  test.each(["1.2.3", "1.2.3.256", "01.2.3.4", "1.2.3.4 ", "", "a.b.c.d"])("refuses %j", (text) => {
    expect(() => parseAddress(text)).toThrow("is not an IPv4 address");
  });
});

describe("parseRange", () => {
  test("clears the host bits", () => expect(formatRange(parseRange("192.168.100.1/24"))).toBe("192.168.100.0/24"));
  test("reads one address as a range of one", () => expect(formatRange(parseRange("10.1.2.3"))).toBe("10.1.2.3/32"));
  test("reads everything", () => expect(formatRange(parseRange("200.1.1.1/0"))).toBe("0.0.0.0/0"));
  test.each(["10.0.0.0/33", "10.0.0.0/", "10.0.0.0/8/8", "10.0.0.0/-1"])("refuses %j", (text) => {
    expect(() => parseRange(text)).toThrow("is not an IPv4 range");
  });
});

test("a MAC follows from the address", () => {
  expect(macOf("192.168.100.5")).toBe("06:00:c0:a8:64:05");
  expect(macOf("1.2.3.4")).toBe("06:00:01:02:03:04");
});

test.each([
  ["192.168.0.0/16", "192.168.100.0/24", true],
  ["192.168.100.128/25", "192.168.100.0/24", true],
  ["192.168.101.0/24", "192.168.100.0/24", false],
  ["192.168.99.255", "192.168.100.0/24", false],
])("%s overlaps %s: %s", (a, b, expected) => {
  expect(overlaps(parseRange(a), parseRange(b))).toBe(expected);
  expect(overlaps(parseRange(b), parseRange(a))).toBe(expected);
});
