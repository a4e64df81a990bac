import { expect, test } from "vitest";
import { specOf } from "../../../test/fixtures/spec.ts";
import { canLimitConsole, canSetMtu, faultsOf } from "./api-facts.ts";
import {
  configuration,
  FREEZE,
  IN_CHROOT,
  kernelCommandLine,
  PAUSE,
  restoration,
  RESUME,
  START,
  STATE,
} from "./requests.ts";

const spec = specOf({
  kernelArgs: ["ip=192.168.100.5::192.168.100.1:255.255.255.0:vm:eth0:off"],
  vcpuCount: 2,
  memoryMib: 2048,
});

test.each(["1.12.0", "1.12.1", "1.14.4", "1.15.1", "1.16.1", "2.0.0"])(
  "Firecracker %s knows all that a start, a restore and a freeze send",
  (version) => {
    const requests = [
      ...configuration(spec, version),
      ...restoration(spec, version),
      START,
      STATE,
      PAUSE,
      RESUME,
      FREEZE,
    ];
    expect(requests.flatMap((request) => faultsOf(request, version))).toEqual([]);
  },
);

test("what a version lacks is left out", () => {
  const [old, young] = ["1.15.1", "1.16.1"].map((version) => JSON.stringify(configuration(spec, version)));
  expect(["1.12.1", "1.16.1"].map(canLimitConsole)).toEqual([false, true]);
  expect(["1.12.1", "1.16.1"].map(canSetMtu)).toEqual([false, true]);
  for (const part of [`"/serial"`, `"mtu"`]) {
    expect(old).not.toContain(part);
    expect(young).toContain(part);
  }
});

test("an unknown request, an unknown, missing or later field is named", () => {
  const put = (path: string, body: Record<string, unknown>) => faultsOf({ method: "PUT", path, body }, "1.12.1");
  expect(put("/nothing", {})).toEqual(["PUT /nothing is no request that is used here"]);
  expect(put("/serial", {})).toEqual(["PUT /serial is there since 1.14"]);
  expect(put("/vsock", { guest_cid: 3, uds: "x" })).toEqual([
    "PUT /vsock lacks uds_path",
    "PUT /vsock uds is no field that is known",
  ]);
  expect(put("/entropy", { rate_limiter: { bandwidth: { size: 1, refill: 1 } } })).toEqual([
    "PUT /entropy rate_limiter bandwidth lacks refill_time",
    "PUT /entropy rate_limiter bandwidth refill is no field that is known",
  ]);
  expect(put("/entropy", { rate_limiter: 7 })).toEqual(["PUT /entropy rate_limiter is no object"]);
  const load = { snapshot_path: "state", mem_backend: { backend_type: "File", backend_path: "memory" } };
  expect(put("/snapshot/load", { ...load, network_overrides: {} })).toEqual([
    "PUT /snapshot/load network_overrides is no list",
  ]);
  expect(put("/snapshot/load", { ...load, network_overrides: [{ iface_id: "eth0", tap: "x" }] })).toEqual([
    "PUT /snapshot/load network_overrides lacks host_dev_name",
    "PUT /snapshot/load network_overrides tap is no field that is known",
  ]);
});

test("names nothing of the host but the TAP", () => {
  expect(JSON.stringify(configuration(spec, "1.16.1"))).not.toMatch(/\/data|\/i\//);
});

test("the root is read-only, and limits are on drive, both ways of the NIC and entropy", () => {
  const requests = new Map(configuration(spec, "1.12.1").map(({ path, body }) => [path, body]));
  expect(requests.get("/drives/root")).toMatchObject({ is_read_only: true, rate_limiter: expect.anything() });
  expect(requests.get("/network-interfaces/eth0")).toMatchObject({
    host_dev_name: "sp-abc1",
    guest_mac: "06:00:c0:a8:64:05",
    rx_rate_limiter: expect.anything(),
    tx_rate_limiter: expect.anything(),
  });
  expect(requests.get("/entropy")).toMatchObject({ rate_limiter: expect.anything() });
});

test("a clone is told what is in no state: its console's bound where the version has one, and its TAP; and not to run", () => {
  const [load] = restoration(spec, "1.15.1");
  expect(restoration(spec, "1.15.1")).toHaveLength(1);
  expect(load?.body).toMatchObject({
    network_overrides: [{ iface_id: "eth0", host_dev_name: spec.tap }],
    resume_vm: false,
  });
  const limit = configuration(spec, "1.16.1").at(-1);
  expect(limit?.path).toBe("/serial");
  expect(restoration(spec, "1.16.1")).toEqual([limit, load]);
});

test("a clone finds its snapshot, drive and guest channel by the names that they were frozen with", () => {
  const told = JSON.stringify(restoration(spec, "1.16.1"));
  for (const name of [IN_CHROOT.state, IN_CHROOT.memory]) {
    expect(told).toContain(`"${name}"`);
    expect(JSON.stringify(FREEZE)).toContain(`"${name}"`);
  }
  expect(Object.values(IN_CHROOT).filter((name) => name.startsWith("/"))).toEqual([]);
});

test("the kernel's line lets it load modules, ends the VMM at a reboot and takes its address as the documents say", () => {
  const line = kernelCommandLine(spec);
  expect(line).toBe(
    "console=ttyS0,115200 reboot=k i8042.noaux i8042.nomux i8042.dumbkbd panic=1 root=/dev/vda ro net.ifnames=0 " +
      "quiet loglevel=6 systemd.show_status=yes ip=192.168.100.5::192.168.100.1:255.255.255.0:vm:eth0:off",
  );
  expect(line.split(" ")).not.toContain("nomodule");
});
