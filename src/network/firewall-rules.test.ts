import { describe, expect, test } from "vitest";
import { firewallScript } from "./firewall-rules.ts";

const options = {
  table: "sallyport",
  bridge: "br0",
  owner: "sallyport /var/lib/sallyport/resolver",
  gateway: "192.168.100.1",
  prefixLength: 24,
  vmmUids: [900_000, 901_024] as [number, number],
  controllerUid: 0,
  allow: [],
};
const guest = { tap: "sp-1", mac: "06:00:c0:a8:64:05", address: "192.168.100.5", uid: 1000 };

describe("firewallScript", () => {
  test("masquerades the range, not the gateway's address", () => {
    expect(firewallScript(options, [], "keep")).toContain(`ip saddr 192.168.100.0/24 oifname != "br0" masquerade`);
  });

  test("keeps what is in the sets, or starts from nothing", () => {
    expect(firewallScript(options, [], "keep")).not.toContain("delete table");
    expect(firewallScript(options, [], "replace")).toContain("delete table inet sallyport");
  });

  test("lets a guest pass with its own MAC only", () => {
    expect(firewallScript(options, [guest], "keep")).toContain("elements = { 192.168.100.5 . 06:00:c0:a8:64:05 }");
  });

  test("leaves an empty list of elements out, which nft would refuse", () => {
    expect(firewallScript(options, [], "keep")).not.toMatch(/elements = \{\s*\}/);
  });

  test("clears the host bits of an exception", () => {
    expect(firewallScript({ ...options, allow: ["10.1.2.3/24"] }, [], "keep")).toContain("elements = { 10.1.2.0/24 }");
  });

  test("takes no exception that is not a range, so that no rule can be written in the configuration", () => {
    expect(() => firewallScript({ ...options, allow: ["10.0.0.0/8 } ; drop"] }, [], "keep")).toThrow(
      "not an IPv4 range",
    );
  });
});
