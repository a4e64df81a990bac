import { execFileSync } from "node:child_process";
import { mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import type { Host } from "./host.ts";
import { PRODUCTION, production } from "./production.ts";

let root: string;
beforeEach(() => {
  root = mkdtempSync(join(tmpdir(), "sallyport-production-"));
});
afterEach(() => rmSync(root, { recursive: true }));

const put = (path: string, text: string, mode = 0o644): void => {
  mkdirSync(dirname(join(root, path)), { recursive: true });
  writeFileSync(join(root, path), text, { mode });
};
const lineOf = async (name: string) =>
  production(root)
    .find((each) => each.name === name)
    ?.look({} as Host);

const SWAPS = "Filename\t\t\t\tType\t\tSize\t\tUsed\t\tPriority\n";
const MOUNTS =
  "30 25 0:26 / /sys/fs/cgroup ro - tmpfs tmpfs ro\n31 30 0:27 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw\n";
const OPEN: [name: string, path: string, text: string, seen: string][] = [
  ["smt", "/sys/devices/system/cpu/smt/active", "1\n", "SMT is on"],
  ["ksm", "/sys/kernel/mm/ksm/run", "1\n", "Same pages are merged"],
  [
    "swap",
    "/proc/swaps",
    `${SWAPS}/dev/sda2                               partition\t1\t0\t-2\n`,
    "in the open: /dev/sda2",
  ],
  ["kernel", "/proc/sys/kernel/osrelease", "5.10.0-28-amd64\n", "Linux 5.10.0-28-amd64"],
  [
    "cpu",
    "/sys/devices/system/cpu/vulnerabilities/mds",
    "Vulnerable: Clear CPU buffers attempted\n",
    "Vulnerable: mds",
  ],
  ["cpu", "/sys/devices/system/cpu/vulnerabilities/itlb_multihit", "KVM: Vulnerable\n", "Vulnerable: itlb_multihit"],
  ["cpu", "/sys/devices/system/cpu/vulnerabilities/itlb_multihit", "Processor vulnerable\n", "itlb_multihit"],
  [
    "cpu",
    "/sys/devices/system/cpu/vulnerabilities/taa",
    "Mitigation: Clear CPU buffers; SMT vulnerable\n",
    "Vulnerable: taa (SMT)",
  ],
  ["cpu", "/sys/devices/system/cpu/vulnerabilities/mmio_stale_data", "Unknown: No mitigations\n", "mmio_stale_data"],
  ["ksm", "/sys/kernel/mm/ksm/pages_shared", "5000\n", "5000 pages are still merged"],
  ["bpf", "/proc/sys/kernel/unprivileged_bpf_disabled", "0\n", "Every user may load BPF"],
  ["perf", "/proc/sys/kernel/perf_event_paranoid", "1\n", "Every user may count"],
  ["kvm device", "/dev/kvm", "", "Every user may open /dev/kvm"],
];

describe("what a host of real people should have", () => {
  test.each(OPEN)("%s: %s with %j is a warning that says what is protected, and what mends it", async (...row) => {
    const [name, path, text, seen] = row;
    put(path, text, name === "kvm device" ? 0o666 : 0o644);
    const { protects } = PRODUCTION.find((each) => each.name === name) ?? expect.fail();
    const said = { result: "warning", text: expect.stringContaining(seen), remedy: expect.any(String) };
    expect(await lineOf(name)).toMatchObject(said);
    expect(await lineOf(name)).toMatchObject({ text: expect.stringContaining(protects) });
  });

  test.each<[name: string, path: string, text: string]>([
    ["smt", "/sys/devices/system/cpu/smt/active", "0\n"],
    ["ksm", "/sys/kernel/mm/ksm/run", "2\n"],
    ["swap", "/proc/swaps", SWAPS],
    ["kernel", "/proc/sys/kernel/osrelease", "6.12.48+deb13-amd64\n"],
    ["cpu", "/sys/devices/system/cpu/vulnerabilities/mds", "Mitigation: Clear CPU buffers; SMT disabled\n"],
    ["cpu", "/sys/devices/system/cpu/vulnerabilities/gather_data_sampling", "Not affected\n"],
    ["bpf", "/proc/sys/kernel/unprivileged_bpf_disabled", "2\n"],
    ["perf", "/proc/sys/kernel/perf_event_paranoid", "2\n"],
    ["kvm device", "/dev/kvm", ""],
  ])("%s: %s with %j is right, and so is a kernel that has nothing of the kind", async (name, path, text) => {
    const without = { kernel: "warning", smt: "unchecked", cpu: "unchecked" }[name] ?? "ok";
    expect(await lineOf(name)).toMatchObject({ result: without });
    put(path, text, name === "kvm device" ? 0o660 : 0o644);
    expect(await lineOf(name)).toMatchObject({ result: "ok", text: expect.stringContaining("protects") });
  });

  test("a kernel that no VMM is tested on is named as such", async () => {
    put("/proc/sys/kernel/osrelease", "6.1.0-40-amd64");
    expect(await lineOf("kernel")).toMatchObject({ text: expect.not.stringContaining("none of those") });
    put("/proc/sys/kernel/osrelease", "6.12.48");
    expect(await lineOf("kernel")).toMatchObject({ text: expect.stringContaining("(5.10, 6.1, 6.18)") });
  });

  test("controllers that cannot bound a microVM are named, wherever they are mounted", async () => {
    expect(await lineOf("cgroup")).toMatchObject({ text: expect.stringContaining("mounted nowhere") });
    put("/proc/self/mountinfo", MOUNTS);
    put("/sys/fs/cgroup/unified/cgroup.controllers", "cpuset cpu io memory hugetlb pids rdma\n");
    expect(await lineOf("cgroup")).toMatchObject({ result: "ok" });
    put("/sys/fs/cgroup/unified/cgroup.controllers", "cpuset cpu io\n");
    expect(await lineOf("cgroup")).toMatchObject({
      result: "warning",
      text: expect.stringContaining("cannot bound memory, pids"),
    });
    put("/sys/fs/cgroup/unified/cgroup.controllers", "cpu memory pids\n");
    put("/sys/fs/cgroup/unified/cgroup.type", "domain\n");
    put("/sys/fs/cgroup/unified/cgroup.procs", "1\n");
    expect(await lineOf("cgroup")).toMatchObject({
      result: "warning",
      text: expect.stringContaining("as in a container. Mended"),
      remedy: expect.stringContaining("--cgroupns=host"),
    });
    put("/sys/fs/cgroup/unified/cgroup.controllers", "\n");
    expect(await lineOf("cgroup")).toMatchObject({ text: expect.stringContaining("cannot bound cpu, memory, pids") });
  });

  test("no control groups at all are a problem, and no matter of protection", async () => {
    put("/proc/self/status", "Uid:\t0\t0\t0\t0\nCapEff:\t00000000a80425fb\n");
    expect(await lineOf("cgroup")).toEqual({
      result: "problem",
      text: "cgroup v2 is mounted nowhere, and may not be mounted (no CAP_SYS_ADMIN): no microVM can start.",
      remedy: expect.stringContaining("mount -t cgroup2"),
    });
    put("/proc/self/status", "Uid:\t0\t0\t0\t0\nCapEff:\t000001ffffffffff\n");
    expect(await lineOf("cgroup")).toMatchObject({ result: "warning" });
  });

  test("swap in memory, or on what is encrypted, also below a volume, is not in the open", async () => {
    for (const device of ["zram0", "dm-0", "dm-1", "dm-2"]) put(`/dev/${device}`, "");
    // As in the kernel's own tree; dm-1 is a volume on an encrypted disk, dm-2 on a plain one.
    put("/sys/class/block/dm-0/dm/uuid", "CRYPT-LUKS2-0123-swap\n");
    put("/sys/class/block/dm-1/dm/uuid", "LVM-abc\n");
    put("/sys/class/block/dm-2/dm/uuid", "LVM-def\n");
    put("/sys/class/block/sda/size", "1\n");
    for (const [volume, disk] of [
      ["dm-1", "dm-0"],
      ["dm-2", "sda"],
    ] as const) {
      mkdirSync(join(root, `/sys/class/block/${volume}/slaves`), { recursive: true });
      symlinkSync(join(root, `/sys/class/block/${disk}`), join(root, `/sys/class/block/${volume}/slaves/${disk}`));
    }
    mkdirSync(join(root, "/dev/mapper"));
    symlinkSync("../dm-1", join(root, "/dev/mapper/vg-swap"));
    const lines = ["/dev/zram0", "/dev/dm-0", "/dev/mapper/vg-swap", "/dev/dm-2"].map(
      (name) => `${name}  partition 1 0 -2\n`,
    );
    put("/proc/swaps", SWAPS + lines.slice(0, 3).join(""));
    expect(await lineOf("swap")).toMatchObject({ result: "ok" });
    put("/proc/swaps", SWAPS + lines.join(""));
    expect(await lineOf("swap")).toMatchObject({
      result: "warning",
      text: expect.stringContaining("open: /dev/dm-2."),
    });
  });

  test("compressed memory that writes what is idle to a device is where that device is", async () => {
    for (const device of ["zram0", "sda5", "dm-0"]) put(`/dev/${device}`, "");
    put("/sys/class/block/dm-0/dm/uuid", "CRYPT-PLAIN-swap\n");
    put("/proc/swaps", `${SWAPS}/dev/zram0  partition 1 0 -2\n`);
    for (const [backing, result] of [
      ["none", "ok"],
      ["/dev/sda5", "warning"],
      ["/dev/dm-0", "ok"],
    ] as const) {
      put("/sys/class/block/zram0/backing_dev", `${backing}\n`);
      expect(await lineOf("swap")).toMatchObject({ result });
    }
  });

  test("a swap file is where its file system is", async () => {
    put("/swap file", "");
    put("/proc/swaps", `${SWAPS}/swap\\040file  file 1 0 -2\n`);
    expect(await lineOf("swap")).toMatchObject({ result: "warning" });
    const device = execFileSync("stat", ["-c", "%Hd:%Ld", root], { encoding: "utf8" }).trim();
    put(`/sys/dev/block/${device}/dm/uuid`, "CRYPT-LUKS2-4567-root");
    expect(await lineOf("swap")).toMatchObject({ result: "ok" });
  });
});

test("docs/HOST-SETUP.md has each of these lines with what it protects and the command that shows it", () => {
  const rows = readFileSync("docs/HOST-SETUP.md", "utf8").split("\n");
  const first = rows.findIndex((row) => row.startsWith("| line of `doctor`")) + 2;
  const table = rows.slice(first, rows.indexOf("", first));
  expect(table).toEqual(PRODUCTION.map((row) => `| \`${row.name}\` | ${row.protects} | \`${row.command}\` |`));
});
