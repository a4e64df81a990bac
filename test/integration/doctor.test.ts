/** `sallyport doctor` on a host with a real network and a running microVM: nothing wrong, then one fault after the other. */
import { chmod, mkdir, mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, afterEach, beforeAll, describe, expect, test } from "vitest";
import type { ImageManifest } from "../../src/contract/image-manifest.ts";
import type { CheckLine } from "../../src/doctor/check.ts";
import type { DoctorReport } from "../../src/doctor/doctor.ts";
import { PRODUCTION } from "../../src/doctor/production.ts";
import { digestOf } from "../../src/image/digest.ts";
import { createImageStore, digestOfManifest } from "../../src/image/store.ts";
import { Cleanup } from "../../src/lib/cleanup.ts";
import { errnoOf } from "../../src/lib/errors.ts";
import { run } from "../../src/lib/exec.ts";
import { dataPaths, packageRoot, type DataPaths } from "../../src/lib/paths.ts";
import type { GuestNic } from "../../src/network/guest-nic.ts";
import { killProcess } from "../../src/lib/process.ts";
import { unprivileged } from "../../src/vmm/unprivileged.ts";
import { endCgroup, makeCgroup } from "../../src/vmm/cgroup.ts";
import { startVmm } from "../../src/vmm/process.ts";
import { elfProgram } from "../fixtures/elf-program.ts";
import { createGuardedFolder } from "../fixtures/guarded-folder.ts";
import { startDecoy } from "../fixtures/decoy.ts";
import { createNamespace, fixture, NODE, type Namespace } from "../fixtures/namespace.ts";
import {
  attach,
  BRIDGE,
  connectGuest,
  endResolver,
  HOST_UPLINK,
  SERVER,
  startInternet,
  startNetwork,
  TABLE,
} from "../fixtures/network-world.ts";
import type { RemoteNetwork } from "../fixtures/network-world.ts";

const VM = "doctor000001";
/** In the range that a configuration without `vm.uidBase` gives. */
const VMM_UID = 900_005;
const nic: GuestNic = { tap: `sp-${VM}`, mac: "06:00:c0:a8:64:05", address: "192.168.100.5", uid: 65_534 };

const cleanup = new Cleanup();
const figures: string[] = [];
let folder: string;
let paths: DataPaths;
let host: Namespace;
let network: RemoteNetwork;

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "sallyport-doctor-"));
  cleanup.push("folder", () => rm(folder, { recursive: true }));
  // Programs in it are run by others than root.
  await chmod(folder, 0o755);
  paths = dataPaths(join(folder, "data"));
  await mkdir(paths.root);
  await run("mount", ["-t", "tmpfs", "-o", "size=2g,mode=711", "sallyport-test", paths.root]);
  cleanup.push("data directory", async () => void (await run("umount", [paths.root])));
  await makeImage();
  await makeMachines();
  await configure({});

  host = await createNamespace("doctor");
  cleanup.push("host", () => host.remove());
  const internet = await startInternet(host);
  cleanup.push("internet", () => internet.remove());
  // What drops ARP here shall keep guests from the host, and not, once an entry is old, the host from its name server.
  await know(host, "up0", SERVER, await addressOf(internet, "eth0"));
  await know(internet, "eth0", HOST_UPLINK, await addressOf(host, "up0"));
  await startMicrovm();
});

afterAll(async () => {
  console.log(`doctor took: ${figures.join(", ")}`);
  await cleanup.run();
});

const addressOf = async (at: Namespace, device: string): Promise<string> =>
  (await at.run("cat", [`/sys/class/net/${device}/address`])).stdout.trim();
const know = (at: Namespace, device: string, who: string, mac: string): Promise<unknown> =>
  at.ip(`neigh replace ${who} lladdr ${mac} nud permanent dev ${device}`);

const makeImage = async (): Promise<void> => {
  // On the same file system: it is moved.
  const draft = join(paths.root, "draft");
  await mkdir(draft);
  const file = { digest: digestOf("content"), bytes: "content".length };
  const files = { "rootfs.ext4": file, vmlinux: file, initrd: file };
  for (const name of Object.keys(files)) await writeFile(join(draft, name), "content");
  const part = digestOf("input");
  const inputs = { digest: part, recipe: part, baseSystem: part, guestFiles: part, agent: part };
  const digest = digestOfManifest({ files, inputs });
  const manifest: ImageManifest = {
    format: 1,
    digest,
    base: "debian:trixie",
    builtAt: new Date().toISOString(),
    inputs,
    kernelRelease: "6.12",
    packages: {},
    files,
  };
  const store = createImageStore(paths);
  await store.add(draft, manifest, join(paths.root, "aside"));
  await store.point("default", digest);
};

/** Folders of programs: one with a QEMU whose guests boot, one whose guests hang. */
const makeMachines = async (): Promise<void> => {
  const boots = 'echo "Kernel panic - not syncing: VFS: Unable to mount root fs on unknown-block(0,0)"';
  const hangs = 'echo "Booting from ROM.."; exec sleep 600';
  for (const [machine, guest] of Object.entries({ good: boots, hanging: hangs })) {
    await mkdir(join(folder, machine), { mode: 0o755 });
    await program(
      machine,
      "qemu-system-x86_64",
      `[ "$1" = --version ] && echo "QEMU emulator version 10.0.2" || { ${guest}; }`,
    );
    await program(machine, "timedatectl", "echo yes");
  }
};

const program = (machine: string, name: string, body: string): Promise<void> =>
  writeFile(join(folder, machine, name), `#!/bin/sh\n${body}\n`, { mode: 0o755 });

const configure = (vm: Record<string, unknown>, vmm: Record<string, unknown> = {}): Promise<void> =>
  writeFile(
    join(folder, "config.yaml"),
    JSON.stringify({
      dataDir: paths.root,
      network: { bridge: BRIDGE, table: TABLE, dns: { upstream: [SERVER] } },
      vm: { memoryMib: 1024, ...vm },
      vmm,
    }),
  );

const startMicrovm = async (): Promise<void> => {
  network = await startNetwork(host, { resolver: { directory: paths.resolver, upstream: [SERVER] } });
  cleanup.push("resolver", () => endResolver(paths.resolver));
  await network.ensure();
  await attach(network, nic);
  const guest = await connectGuest(host, nic);
  cleanup.push("guest", () => guest.namespace.remove());
  cleanup.push("VMM", await startVmmOf(VM, VMM_UID, nic));
};

/** Processes of a VMM's user in the control group of a microVM, which is how one is found, however many they are. */
const startVmmOf = async (vmId: string, uid: number, spec: GuestNic): Promise<() => Promise<void>> => {
  const vm = paths.vm(vmId);
  await mkdir(vm.root, { recursive: true });
  // As that of a clone, whose kernel was told nothing, and whose card has its template's MAC until its agent is told.
  const started = { ...spec, mac: "06:00:00:00:00:00", kernelArgs: [] };
  await writeFile(vm.config, JSON.stringify({ spec: started }), { mode: 0o600 });
  const group = await makeCgroup(vm.cgroup, { memoryMib: 64, pids: 10, cpus: 1 });
  const command = unprivileged({ uid, maxFileBytes: 0 }, ["perl", "-e", "fork; sleep 1000000"]);
  const argv = ["sh", "-c", 'echo 0 >"$0/cgroup.procs" && exec "$@"', group, ...command];
  const { died } = await startVmm({ argv, logFile: vm.vmmLog });
  died.catch(() => {});
  return () => endCgroup(vm.cgroup);
};

interface Examination {
  report: DoctorReport;
  exitCode: number;
  /** Lines that are not ok, as `result name`. */
  notOk: string[];
  line: (name: string) => CheckLine | undefined;
}

interface Visit {
  on?: Namespace;
  machine?: string;
  args?: string[];
  /** Command that runs the doctor as somebody else. */
  as?: string[];
  config?: string;
}

/** What this machine is to real people is no fault of the host that is made here. */
const isFault = ({ name, result }: CheckLine): boolean =>
  result !== "ok" && !PRODUCTION.some((line) => line.name === name && result === "warning");

const doctor = async (visit: Visit = {}): Promise<Examination> => {
  const { on = host, machine = "good", args = [], as = [], config = "config.yaml" } = visit;
  const main = join(packageRoot(), "src/main.ts");
  const command = [NODE, main, "--config", join(folder, config), "--json", "doctor", ...args];
  // The names of namespaces that the network's process made are in its own view of the files.
  const view = on === host ? ["nsenter", "--mount", `--target=${network.pid}`, "--", "unshare", "--mount"] : [];
  const [first = "", ...rest] = [...view, "sh", fixture("machine.sh"), join(folder, machine), ...as, ...command];
  const { stdout, exitCode } = await on.run(first, rest, { okCodes: [6] });
  const report: DoctorReport = JSON.parse(stdout);
  figures.push(`${(report.tookMs / 1000).toFixed(1)} s`);
  return {
    report,
    exitCode,
    notOk: report.checks.filter(isFault).map(({ result, name }) => `${result} ${name}`),
    line: (name) => report.checks.find((check) => check.name === name),
  };
};

/** Does what the line says, as a person at the keyboard would. */
const mend = async (line: CheckLine | undefined, on = host): Promise<void> => {
  const command = line?.remedy?.replace(/^.*if nobody needs it: /, "") ?? "exit 1";
  await on.run("sh", ["-c", command]);
};

const expectHealthy = async (): Promise<void> => {
  const { report, exitCode, notOk } = await doctor();
  expect(report.checks.filter(isFault)).toEqual([]);
  expect({ notOk, exitCode, ok: report.ok }).toEqual({ notOk: [], exitCode: 0, ok: true });
};

describe("a healthy host", () => {
  test("everything is ok, with a running microVM, and it says how many it can hold", async () => {
    await expectHealthy();
    const { report, line } = await doctor();
    const { byMemory, byAddresses, byDisk, microvms } = report.capacity ?? expect.fail("no capacity");
    expect(report.capacity).toMatchObject({ running: 1, byAddresses: 253 });
    expect(microvms).toBe(Math.min(byMemory, byAddresses, byDisk));
    expect(line("taps")?.text).toContain("1 running");
    expect(line("vmm")?.text).toContain("QEMU 10.0.2 in KVM. A kernel booted in KVM");
  });

  test("a microVM whose start keeps its TAP in a namespace of its own has lost nothing; one that is nowhere is lost", async () => {
    const waiting = { ...nic, tap: "sp-doctor000002", mac: "06:00:c0:a8:64:06", address: "192.168.100.6" };
    await network.prepare(waiting);
    const end = await startVmmOf("doctor000002", VMM_UID + 1, waiting);
    const { notOk, line } = await doctor();
    await network.remove(waiting);
    const { line: later } = await doctor();
    await end();
    await rm(paths.vm("doctor000002").root, { recursive: true });
    expect(notOk).toEqual([]);
    expect(line("taps")?.text).toMatch(/^1 running: .* 1 being started, or frozen as a warm snapshot: /);
    expect(later("taps")?.text).toContain("MicroVM doctor000002 has lost its TAP sp-doctor000002");
  });

  test("docs/HOST-SETUP.md has a row for each of its lines, and for nothing else", async () => {
    const rows = (await readFile("docs/HOST-SETUP.md", "utf8")).split("\n");
    const looksAt = rows.slice(rows.findIndex((row) => row.startsWith("| check | looks at |")) + 2);
    const named = looksAt.slice(0, looksAt.indexOf("")).flatMap((row) => row.split("|")[1]?.split(",") ?? []);
    const { report } = await doctor();
    const lines = report.checks.map(({ name }) => name).filter((name) => !PRODUCTION.some((one) => one.name === name));
    expect(named.map((name) => name.trim().replaceAll("`", "")).toSorted()).toEqual([...new Set(lines)].toSorted());
  });

  test("it changes nothing: no verdict about KVM is kept, no rule is made", async () => {
    const rules = async () =>
      (await host.run("nft", ["list", "ruleset"])).stdout.replaceAll(/packets \d+ bytes \d+/g, "");
    const before = await rules();
    await doctor();
    expect(await rules()).toBe(before);
    await expect(rm(paths.kvmProbe)).rejects.toMatchObject({ code: "ENOENT" });
  });

  test("without root it says what it could not look at, and calls none of it a problem", async () => {
    const nobody = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", "--"];
    const { report, exitCode, notOk, line } = await doctor({ as: nobody });
    expect(notOk).toEqual(
      ["vmm", "warm snapshot", "taps", "firewall", "other firewalls"].map((name) => `unchecked ${name}`),
    );
    expect(line("firewall")?.remedy).toBe("sudo sallyport doctor");
    expect(report.capacity?.running).toBe(1);
    expect(exitCode).toBe(0);
  });
});

describe("faults of the host, each found beside nothing else, and mended by what the line says", () => {
  afterEach(expectHealthy);

  test("12 the TAP is down", async () => {
    await host.ip(`link set dev ${nic.tap} down`);
    const { notOk, line, exitCode } = await doctor();
    expect({ notOk, exitCode }).toEqual({ notOk: ["problem taps"], exitCode: 6 });
    expect(line("taps")?.text).toMatch(/sp-doctor000001 .* is down/);
    await mend(line("taps"));
  });

  test("what a microVM was started with is of a kind that this version does not know", async () => {
    const { config } = paths.vm(VM);
    const text = await readFile(config, "utf8");
    await writeFile(config, JSON.stringify({ spec: { ...nic, address: undefined } }));
    const { notOk, line } = await doctor();
    await writeFile(config, text);
    expect(notOk).toContain("problem taps");
    expect(line("taps")?.text).toContain(`What microVM ${VM} was started with can't be read: spec.address`);
  });

  test("13 the TAP is not on the bridge", async () => {
    await host.ip(`link set dev ${nic.tap} nomaster`);
    const { notOk, line } = await doctor();
    expect(notOk).toEqual(["problem taps"]);
    expect(line("taps")?.text).toContain("on no bridge");
    await mend(line("taps"));
  });

  test("something runs as a user that is for microVMs, and is in none", async () => {
    const stranger = await startDecoy(["sleep", "600"], { uid: VMM_UID + 1 });
    try {
      const { notOk, line } = await doctor();
      expect(notOk).toEqual(["warning users"]);
      expect(line("users")?.text).toContain(`process ${stranger.pid}.`);
    } finally {
      await killProcess("The decoy", stranger);
    }
  });

  test("14 the bridge is without its address; the resolver on that address is silent with it", async () => {
    await host.ip(`address flush dev ${BRIDGE}`);
    const { notOk, line } = await doctor();
    expect(notOk).toEqual(["problem bridge", "problem resolver"]);
    expect(line("bridge")?.text).toContain("without its address 192.168.100.1/24");
    await mend(line("bridge"));
    await network.ensure();
  });

  test("15 the firewall does not know the guest", async () => {
    await host.run("nft", ["flush", "set", "inet", TABLE, "guests"]);
    const { notOk, line } = await doctor();
    expect(notOk).toEqual(["problem firewall"]);
    expect(line("firewall")?.text).toContain("not in the set guests");
    await mend(line("firewall"));
  });

  test("15 the firewall table is gone", async () => {
    await host.run("nft", ["delete", "table", "inet", TABLE]);
    const { notOk, line } = await doctor();
    expect(notOk).toEqual(["problem firewall"]);
    expect(line("firewall")?.text).toContain("is gone while guests run");
    await network.ensure();
  });

  const stateful = 'ct state established,related accept\n iifname "lo" accept';
  test.each([
    ["forward", "ip", "FORWARD", stateful, "Guests' connections to the internet"],
    ["input", "inet", "input", stateful, "Guests' name queries to this host"],
    ["input", "bridge", "INPUT", 'iifname "eth1" accept', "Guests' answers to this host"],
    ["output", "bridge", "OUTPUT", "ether type ip accept", "This host's answers to guests' ARP queries"],
    ["input", "arp", "INPUT", "", "Guests' ARP queries for their gateway"],
    [`ingress device "${BRIDGE}"`, "netdev", "watch", "udp dport 67 accept", "Guests' answers to this host"],
  ])("15 another table's %s policy of the family %s drops", async (hook, family, chain, rules, what) => {
    const table = `${family} filter`;
    const script = `table ${table} {\n chain ${chain} {\n type filter hook ${hook} priority 0; policy drop;\n ${rules}\n }\n}\n`;
    await host.run("nft", ["-f", "-"], { input: script });
    try {
      const { notOk, line } = await doctor();
      expect(notOk).toEqual(["problem other firewalls"]);
      expect(line("other firewalls")?.text).toBe(`${what} are dropped by ${table} ${chain}, by its policy.`);
      await mend(line("other firewalls"));
      await expectHealthy();
    } finally {
      await host.run("nft", ["delete", "table", ...table.split(" ")]);
    }
  });

  test("22 the disk is full", async () => {
    await run("mount", ["-o", "remount,size=4m", paths.root]);
    const filler = join(paths.root, "filler");
    try {
      await expect(writeFile(filler, Buffer.alloc(8 << 20))).rejects.toSatisfy((error) => errnoOf(error) === "ENOSPC");
      const { notOk, line, report } = await doctor();
      expect(notOk).toEqual(["warning warm snapshot", "problem disk"]);
      expect(line("disk")?.text).toContain("0 MiB free: it is full");
      expect(report.capacity).toMatchObject({ microvms: 1, limitedBy: "disk" });
    } finally {
      await rm(filler, { force: true });
      await run("mount", ["-o", "remount,size=2g", paths.root]);
    }
  });

  test("a program that every VMM is jailed with is not there: what is to be installed, also by the line of what runs new microVMs", async () => {
    const without = ["sh", "-c", 'mount --bind /dev/null "$(command -v bwrap)" && exec "$@"', "sh"];
    const { notOk, line } = await doctor({ as: without });
    expect(notOk).toEqual(["problem programs", "problem vmm"]);
    const text = "bwrap is not there: it shuts the VMM up in a file system and processes of its own.";
    expect(line("programs")).toMatchObject({ text, remedy: "apt-get install bubblewrap" });
    expect(line("vmm")?.text).toBe(`No VMM can be jailed on this host. ${text}`);
    expect(line("vmm")?.remedy).toContain("apt-get install bubblewrap");
  });

  test("QEMU is looked for where it can be started from, however many others there are", async () => {
    const without = ["sh", "-c", 'mount --bind /dev/null /usr/bin/qemu-system-x86_64 && exec "$@"', "sh"];
    const { notOk, line } = await doctor({ as: without });
    expect(notOk).toEqual(["problem vmm", "problem qemu"]);
    expect(line("qemu")?.text).toContain("/usr/bin/qemu-system-x86_64 is not there. No other is taken");
    expect(line("vmm")?.text).toContain(line("qemu")?.text);
  });

  test("a VMM's program that hangs is named in both lines, and what is taken instead", async () => {
    const { folder: guarded, remove } = createGuardedFolder();
    const put = async (name: string, says: string): Promise<string> => {
      const file = join(guarded, name);
      await writeFile(file, elfProgram({ says, ran: `${file}-ran`, hangs: true }), { mode: 0o755 });
      return file;
    };
    await configure(
      {},
      { firecracker: await put("firecracker", "Firecracker v1.12.1"), jailer: await put("jailer", "") },
    );
    try {
      const { notOk, line } = await doctor();
      expect(notOk).toEqual([]);
      const hangs = /The program firecracker cannot be run: .*\/firecracker did not finish within 1\.5 s\./;
      expect(line("firecracker")?.text).toMatch(hangs);
      expect(line("vmm")?.text).toMatch(/^QEMU 10\.0\.2 in KVM\./);
      expect(line("vmm")?.text).toMatch(hangs);
    } finally {
      await configure({});
      remove();
    }
  });

  test("KVM that hangs is told as hanging: a warning where emulation is allowed, else a problem", async () => {
    const lenient = await doctor({ machine: "hanging" });
    expect({ notOk: lenient.notOk, exitCode: lenient.exitCode }).toEqual({ notOk: ["warning vmm"], exitCode: 0 });
    expect(lenient.line("vmm")?.text).toMatch(
      /had not come to its end after .* s and was killed; it last said: Booting from ROM/,
    );
    await configure({ accel: "kvm" });
    try {
      const strict = await doctor({ machine: "hanging" });
      expect({ notOk: strict.notOk, exitCode: strict.exitCode }).toEqual({ notOk: ["problem vmm"], exitCode: 6 });
    } finally {
      await configure({});
    }
  });

  test("an image with a byte changed: only --deep sees it", async () => {
    const { vmlinux } = (await createImageStore(paths).find("default")) ?? {};
    await writeFile(vmlinux ?? "", "c0ntent");
    try {
      expect((await doctor()).notOk).toEqual([]);
      const { notOk, line } = await doctor({ args: ["--deep"] });
      expect(notOk).toEqual(["problem checksums"]);
      expect(line("checksums")?.text).toContain("vmlinux: is sha256:");
    } finally {
      await writeFile(vmlinux ?? "", "content");
    }
  });
});

describe("a host that never ran Sallyport", () => {
  let fresh: Namespace;
  const visit = () => doctor({ on: fresh, config: "fresh.yaml" });

  beforeAll(async () => {
    fresh = await createNamespace("fresh");
    cleanup.push("fresh host", () => fresh.remove());
    await writeFile(
      join(folder, "fresh.yaml"),
      JSON.stringify({ dataDir: join(folder, "none"), network: { dns: { upstream: [SERVER] } } }),
    );
  });

  test("says what is to be done first, and that the rest is made when it is needed", async () => {
    const { notOk, line, report } = await visit();
    expect(notOk).toEqual(["unchecked vmm", "problem image", "problem names"]);
    expect(line("image")?.remedy).toBe("sallyport image build --name default");
    expect(line("names")?.text).toContain(`No answer from the name server ${SERVER}`);
    expect(line("bridge")?.text).toContain("is free");
    expect(report.capacity?.running).toBe(0);
  });

  test("a bridge and a table of those names that are another controller's", async () => {
    const other = "sallyport /srv/other/resolver";
    await fresh.ip("link add br0 type bridge");
    await fresh.run("ip", ["link", "set", "dev", "br0", "alias", other]);
    const script = `table inet sallyport { map owner { type mark : mark\n elements = { 0 comment "${other}" : 7 }\n }\n }`;
    await fresh.run("nft", ["-f", "-"], { input: script });
    const { notOk, line } = await visit();
    expect(notOk).toEqual(expect.arrayContaining(["problem bridge", "problem firewall"]));
    for (const name of ["bridge", "firewall"]) {
      expect(line(name)?.text).toContain(`belongs to another controller (${other}).`);
      expect(line(name)?.remedy).toContain("network.bridge, network.cidr, network.table and vm.uidBase");
    }
    await fresh.ip("link delete br0");
    await fresh.run("nft", ["delete", "table", "inet", "sallyport"]);
  });

  test("a bridge of that name that is somebody else's", async () => {
    await fresh.ip("link add br0 type bridge");
    expect((await visit()).notOk).toContain("problem bridge");
    await mend((await visit()).line("bridge"), fresh);
    expect((await visit()).notOk).not.toContain("problem bridge");
  });

  test("another interface's route into the guests' range", async () => {
    await fresh.ip("link add lan type veth peer name lan1");
    await fresh.ip("address add 192.168.100.77/25 dev lan");
    await fresh.ip("link set lan up");
    const { notOk, line } = await visit();
    expect(notOk).toContain("problem range");
    expect(line("range")?.text).toContain("192.168.100.0/25, which this host reaches through lan");
    await fresh.ip("link delete lan");
  });

  test("tables of iptables-legacy, whose rules it can't see", async ({ skip }) => {
    const made = await fresh.run("perl", [fixture("legacy-table.pl"), "filter"], { okCodes: [1] });
    skip(made.exitCode === 1, "this kernel has no iptables-legacy");
    const { notOk, line } = await visit();
    expect(notOk).toContain("warning other firewalls");
    expect(line("other firewalls")).toMatchObject({
      text: "iptables-legacy has the table filter: whether a rule there drops what guests need can't be seen here.",
      remedy: "iptables-legacy -t filter -S",
    });
  });
});
