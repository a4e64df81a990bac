import { mkdir, mkdtemp, rm, symlink, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { guestMachine, guestUnits } from "../contract/diagnosis.ts";
import type { run } from "../lib/exec.ts";
import { machineFacts } from "./facts.ts";
import { unitFacts } from "./unit-facts.ts";

let root: string;
let programs: string[][];
let failing: string[];

const put = async (name: string, content: string): Promise<void> => {
  await mkdir(join(root, name, ".."), { recursive: true });
  await writeFile(join(root, name), content);
};
const link = async (name: string, target: string): Promise<void> => {
  await mkdir(join(root, name, ".."), { recursive: true });
  await symlink(target, join(root, name));
};

const OUTPUTS: Record<string, string> = {
  "systemctl show": `Id=sallyport-display.service
FragmentPath=/etc/systemd/system/sallyport-display.service
LoadState=loaded
ActiveState=activating
SubState=auto-restart
UnitFileState=enabled
Result=exit-code
ExecMainStatus=1
NRestarts=7
StandardOutput=journal+console

Id=setup.service
LoadState=masked
`,
  "systemctl list-units": "setup.service loaded failed failed Set up\n",
};

const runProgram: typeof run = async (file, args) => {
  programs.push([file, ...args]);
  if (failing.includes(file)) throw new Error(`${file} did not finish within 2.3 s.`);
  const known = Object.entries(OUTPUTS).find(([command]) => {
    const [program, word = ""] = command.split(" ");
    return program === file && args.includes(word);
  });
  return { stdout: known?.[1] ?? "", stderr: "", exitCode: 0 };
};

beforeEach(async () => {
  root = await mkdtemp(join(tmpdir(), "facts-"));
  programs = [];
  failing = [];
  await put("proc/uptime", "52.50 20.00\n");
  await put("proc/cmdline", "console=ttyS0 ip=192.168.100.5::192.168.100.1:255.255.255.0::eth0:off\n");
  await put("proc/meminfo", "MemTotal:    2017280 kB\nMemAvailable:    1024000 kB\n");
  await put("proc/vmstat", "nr_free_pages 1\noom_kill 2\n");
  await put(
    "proc/net/tcp",
    "  sl  local_address\n   0: 0100007F:1F90 00000000:0000 0A 0\n   1: 0100007F:1F91 0100007F:9999 01 0\n",
  );
  await put(
    "proc/net/tcp6",
    "  sl\n   0: 00000000000000000000000000000000:170D 00000000000000000000000000000000:0000 0A 0\n",
  );
  await put(
    "proc/net/route",
    "Iface\tDestination\tGateway\tFlags\tRefCnt\tUse\tMetric\tMask\n" +
      "eth0\t00000000\t0164A8C0\t0003\t0\t0\t0\t00000000\n" +
      "eth0\t0064A8C0\t00000000\t0001\t0\t0\t0\t00FFFFFF\n",
  );
  await put("sys/class/net/eth0/ifindex", "2\n");
  await put("sys/class/net/eth0/address", "06:00:c0:a8:64:05\n");
  await put("sys/class/net/eth0/operstate", "up\n");
  await put("sys/class/net/eth0/carrier", "1\n");
  await put("run/systemd/network/70-eth0.network", "[Network]\nDHCP=no\nAddress=192.168.100.5/24\n");
  await link("sys/class/net/eth0/device/driver", "../../../bus/virtio/drivers/virtio_net");
  await put("sys/bus/virtio/devices/virtio0/device", "0x0001\n");
  await put("sys/bus/virtio/devices/virtio1/device", "0x0002\n");
  await link("sys/bus/virtio/devices/virtio1/driver", "../../drivers/virtio_blk");
  await put(
    "run/systemd/netif/links/2",
    "ADMIN_STATE=configured\nOPER_STATE=routable\nNETWORK_FILE=/run/systemd/network/70-eth0.network\n",
  );
  await put("etc/systemd/system/setup.service", "[Service]\n");
  await put("etc/systemd/system/template@.service", "[Service]\n");
  await link(
    "etc/systemd/system/dbus-org.freedesktop.network1.service",
    "/usr/lib/systemd/system/systemd-networkd.service",
  );
});
afterEach(() => rm(root, { recursive: true }));

const FILE = "/run/systemd/network/70-eth0.network";
const ADDRESS = { address: "192.168.100.5", cidr: "192.168.100.5/24", netmask: "", mac: "", internal: false };
const interfaces = () => ({ eth0: [{ ...ADDRESS, family: "IPv4" as const }] });

const machine = () => machineFacts({ root, interfaces, browser: async () => "running" });
const units = () => unitFacts({ root, runProgram });

test("tells all that can keep a guest from being reachable", async () => {
  const facts = await machine();
  expect(guestMachine.parse(facts)).toEqual(facts);
  expect(facts).toMatchObject({
    uptimeSec: 52.5,
    cmdline: "console=ttyS0 ip=192.168.100.5::192.168.100.1:255.255.255.0::eth0:off",
    links: [{ name: "eth0", mac: "06:00:c0:a8:64:05", driver: "virtio_net", state: "UP", hasCarrier: true }],
    virtioDevices: [
      { name: "virtio0", type: 1, driver: "" },
      { name: "virtio1", type: 2, driver: "virtio_blk" },
    ],
    addresses: [{ link: "eth0", address: "192.168.100.5", prefixLength: 24, origin: FILE }],
    routes: [
      { destination: "default", gateway: "192.168.100.1", link: "eth0" },
      { destination: "192.168.100.0/24", gateway: "", link: "eth0" },
    ],
    networkd: { operational: "routable", setup: "configured", networkFile: "/run/systemd/network/70-eth0.network" },
    listening: [
      { address: "127.0.0.1", port: 8080 },
      { address: "::", port: 5901 },
    ],
    memory: { totalMib: 1970, availableMib: 1000, oomKills: 2 },
    browser: "running",
    missing: [],
  });
});

test("asks systemd after our own units and the services that the image brings, not after aliases and templates", async () => {
  const facts = await units();
  expect(guestUnits.parse(facts)).toEqual(facts);
  expect(facts).toMatchObject({
    units: [
      { name: "sallyport-display.service", active: "activating", exitStatus: 1, restarts: 7 },
      { name: "setup.service", load: "masked", restarts: 0 },
    ],
    failedUnits: ["setup.service"],
    missing: [],
  });
  const asked = programs.find(([, verb]) => verb === "show") ?? [];
  expect(asked).toContain("setup.service");
  expect(asked).toContain("systemd-network-generator.service");
  expect(asked.join(" ")).not.toMatch(/template|dbus-org/);
});

test("says which parts are missing when systemd hangs", async () => {
  failing = ["systemctl"];
  const { missing, ...known } = await units();
  expect(known).toEqual({ units: [], failedUnits: [] });
  // Asked at once: either may give up first.
  expect(missing.toSorted()).toEqual([
    expect.stringContaining("failed units: "),
    expect.stringContaining("units: systemctl did not"),
  ]);
});

test("of a guest without network card and networkd tells that", async () => {
  await rm(join(root, "sys/class/net/eth0"), { recursive: true });
  await rm(join(root, "sys/bus"), { recursive: true });
  expect(await machine()).toMatchObject({ networkd: null, virtioDevices: [] });
});
