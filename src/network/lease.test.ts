import { describe, expect, test } from "vitest";
import { openDatabase } from "../state/db.ts";
import { guestAddresses, hostNumber, isLeased, leaseAddress, parseBridgeCidr, releaseAddress } from "./lease.ts";

describe("guestAddresses", () => {
  test("2 to 254 of 192.168.100.0/24", () => {
    const addresses = guestAddresses(parseBridgeCidr("192.168.100.1/24"));
    expect(addresses).toHaveLength(253);
    expect(addresses.at(0)).toBe("192.168.100.2");
    expect(addresses.at(-1)).toBe("192.168.100.254");
  });

  test("the gateway is left out wherever it is, and a large range stops at the bridge's ports", () => {
    expect(guestAddresses(parseBridgeCidr("192.168.100.6/29"))).toEqual([2, 3, 4, 5].map((n) => `192.168.100.${n}`));
    expect(guestAddresses(parseBridgeCidr("10.1.0.1/16"))).toHaveLength(1021);
  });

  test("the number follows from the address", () => {
    expect(hostNumber("192.168.100.5", parseBridgeCidr("192.168.100.1/24"))).toBe(5);
  });
});

describe("leaseAddress", () => {
  test("gives each address once, refuses when none is left, and gives a released one again", async () => {
    const db = await openDatabase(":memory:");
    const range = parseBridgeCidr("192.168.100.1/29");
    const given = await Promise.all(["a", "b", "c", "d", "e"].map((vm) => leaseAddress(db, range, vm)));
    expect(new Set(given).size).toBe(5);
    await expect(leaseAddress(db, range, "f")).rejects.toMatchObject({
      code: "pool-exhausted",
      status: 503,
      retryAfterSec: 30,
    });
    await releaseAddress(db, "c");
    expect(await isLeased(db, "c")).toBe(false);
    expect(await leaseAddress(db, range, "f")).toBe(given[2]);
    await db.destroy();
  });

  test("an address rests: the next lease takes the one after the last", async () => {
    const db = await openDatabase(":memory:");
    const range = parseBridgeCidr("192.168.100.1/29");
    await db
      .insertInto("sessions")
      .values({
        id: "ses_1",
        userId: "ada",
        startedBy: "key_1",
        provider: "oidc",
        state: "destroyed",
        createdAt: "",
        expiresAt: "",
        pairingHash: "",
      })
      .execute();
    const given: string[] = [];
    for (const id of ["a", "b", "c", "d", "e", "f"]) {
      const address = await leaseAddress(db, range, id);
      given.push(address);
      await db
        .insertInto("vms")
        .values({
          id,
          sessionId: "ses_1",
          backend: "fake",
          imageDigest: "",
          tap: "",
          mac: "",
          address,
          uid: 1,
          createdAt: id,
        })
        .execute();
      await releaseAddress(db, id);
    }
    expect(given).toEqual([2, 3, 4, 5, 6, 2].map((n) => `192.168.100.${n}`));
    await db.destroy();
  });
});
