/** What must be seen "when it works", as a numbered list, whatever the VMM. Points 8 and 9 need a person who signs in. */
import { readFile } from "node:fs/promises";
import { expect, test } from "vitest";
import type { Client } from "../../src/client/client.ts";
import type { GuestFacts } from "../../src/contract/diagnosis.ts";
import { plainText } from "../../src/lib/terminal.ts";

export interface Seen {
  address: string;
  console: string;
  guest: GuestFacts;
  /** What `/health` answered to the host: a status of HTTP. */
  health: string;
  /** The controller's. */
  log: string;
}

/** Looks at a session that is ready. */
export const seePoints = async (of: {
  client: Client;
  sessionId: string;
  /** Output of a program in the host's namespace. */
  ask: (file: string, ...args: string[]) => Promise<string>;
  logFile: string;
}): Promise<Seen> => {
  const { browserIP: address } = await of.client.session(of.sessionId);
  if (address === null) throw new Error("the session has no address any more");
  const { facts } = await of.client.diagnosis(of.sessionId);
  if (!facts?.guest) throw new Error(`the guest said nothing of itself: ${facts?.missing.join("; ")}`);
  const url = `http://${address}:8080/health`;
  return {
    address,
    console: plainText(await of.client.console(of.sessionId)),
    guest: facts.guest,
    health: (await of.ask("curl", "-s", "-o", "/dev/null", "-w", "%{http_code}", "-m", "5", url)).trim(),
    log: await readFile(of.logFile, "utf8"),
  };
};

/** Points 1 to 7, a test each. */
export const testPoints = (seen: () => Seen): void => {
  test("1. the console shows the network set-up's output", () => {
    expect(seen().console).toMatch(
      /systemd-networkd\[\d+\]: eth0: Configuring with \/run\/systemd\/network\/70-eth0\.network/,
    );
  });

  test("2. the guest finds eth0", () => {
    expect(seen().guest.links).toContainEqual(expect.objectContaining({ name: "eth0", driver: "virtio_net" }));
    expect(seen().console).toMatch(/eth0: Link UP/);
  });

  test("3. eth0 comes up", () => {
    expect(seen().guest.links.find((link) => link.name === "eth0")?.hasCarrier).toBe(true);
    expect(seen().console).toMatch(/eth0: Gained carrier/);
  });

  test("4. the address is assigned, by ip= and nothing else", () => {
    const { address, guest, console } = seen();
    const addresses = guest.addresses.filter((entry) => entry.link === "eth0");
    expect(addresses.map((entry) => entry.address)).toEqual([address]);
    expect(guest.cmdline).toContain(`ip=${address}::192.168.100.1:255.255.255.0::eth0:off`);
    expect(console).not.toMatch(/IP-Config/);
  });

  test("5. the default route is added", () => {
    expect(seen().guest.routes).toContainEqual(
      expect.objectContaining({ destination: "default", gateway: "192.168.100.1", link: "eth0" }),
    );
  });

  test("6. curl http://192.168.100.X:8080/health answers 200", () => {
    expect(seen().health).toBe("200");
  });

  test("7. no EHOSTUNREACH in the controller's log", () => {
    // The controller logs what it sees instead of an answer: here, of the agent while it was not up yet.
    expect(seen().log).toMatch(/"stage":"agent","seen":/);
    expect(seen().log).not.toContain("EHOSTUNREACH");
  });

  test("and none of the guest's units failed", () => {
    const { units, failedUnits, virtioDevices } = seen().guest;
    expect(failedUnits).toEqual([]);
    // Runs where the VMM has vsock; elsewhere nothing has touched it.
    const channel = units.find(({ name }) => name === "sallyport-channel.service");
    expect(channel).toMatchObject({ load: "loaded", result: "success", restarts: 0 });
    const hasVsock = virtioDevices.some(({ driver }) => driver === "vmw_vsock_virtio_transport");
    expect(channel?.active).toBe(hasVsock ? "active" : "inactive");
  });
};
