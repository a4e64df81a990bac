/** A clone's own network: one file, one signal, and no answer before it is there. */
import { mkdir, mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import type { NetworkInterfaceInfo } from "node:os";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { createConfigure } from "./identity.ts";
import { createSessionHolder } from "./session.ts";

const NETWORK = { mac: "06:00:c0:a8:64:05", address: "192.168.100.5", prefixLength: 24, gateway: "192.168.100.1" };
const NETWORKD = "sys/fs/cgroup/system.slice/systemd-networkd.service";

let root: string;

beforeEach(async () => {
  root = await mkdtemp(join(tmpdir(), "identity-"));
  await mkdir(join(root, NETWORKD), { recursive: true });
  await writeFile(join(root, NETWORKD, "cgroup.procs"), "212\n");
});

afterEach(() => rm(root, { recursive: true }));

const eth0 = (mac: string, cidr: string) =>
  ({ eth0: [{ family: "IPv4", address: cidr.split("/")[0], cidr, mac }] }) as unknown as NodeJS.Dict<
    NetworkInterfaceInfo[]
  >;

const configure = (afterwards: NodeJS.Dict<NetworkInterfaceInfo[]>) => {
  const seen = { signals: [] as unknown[], file: "", looks: 0 };
  let now: NodeJS.Dict<NetworkInterfaceInfo[]> = {};
  const takes = createConfigure({
    root,
    session: createSessionHolder(),
    runProgram: () => Promise.reject(new Error("no program is needed")),
    networkTimeoutMs: 100,
    interfaces: () => {
      // networkd takes its time.
      if (++seen.looks > 4) now = afterwards;
      return now;
    },
    signal: async (...which) => {
      seen.signals.push(which);
      seen.file = await readFile(join(root, "run/systemd/network/70-eth0.network"), "utf8");
    },
  });
  return { seen, done: takes({ network: NETWORK }) };
};

test("networkd is told by a file and a signal, without any program, and the answer waits for what is really on eth0", async () => {
  const { seen, done } = configure(eth0(NETWORK.mac, "192.168.100.5/24"));
  expect(await done).toEqual({});
  expect(seen.signals).toEqual([[212, "SIGHUP"]]);
  expect(seen.looks).toBeGreaterThan(4);
  for (const line of ["MACAddress=06:00:c0:a8:64:05", "Address=192.168.100.5/24", "Gateway=192.168.100.1"]) {
    expect(seen.file.split("\n")).toContain(line);
  }
});

test.each([
  ["the template's MAC", eth0("06:00:00:00:00:01", "192.168.100.5/24")],
  ["another address", eth0(NETWORK.mac, "192.168.100.6/24")],
  ["no address", {}],
])("with %s it has no network of its own", async (_, afterwards) => {
  await expect(configure(afterwards).done).rejects.toMatchObject({ code: "deadline" });
});
