import { expect, test } from "vitest";
import { specOf } from "../../../test/fixtures/spec.ts";
import { abilitiesOf, faultsOf } from "./api-facts.ts";
import { configuration, kernelCommandLine, START, STATE } from "./requests.ts";

const spec = specOf({
  kernelArgs: ["ip=192.168.100.5::192.168.100.1:255.255.255.0:vm:eth0:off"],
  vcpuCount: 2,
  memoryMib: 2048,
});

test.each(["1.12.0", "1.12.1", "1.14.4", "1.15.1", "1.16.1", "2.0.0"])(
  "Firecracker %s knows all that a start sends",
  (version) => {
    const faults = [...configuration(spec, version), START, STATE].flatMap((request) => faultsOf(request, version));
    expect(faults).toEqual([]);
  },
);

test("what a version lacks is left out", () => {
  const [old, young] = ["1.15.1", "1.16.1"].map((version) => JSON.stringify(configuration(spec, version)));
  expect(abilitiesOf("1.12.1")).toEqual({
    canLimitConsole: false,
    canSetMtu: false,
    canChangeTap: true,
    canMoveVsock: false,
  });
  expect(abilitiesOf("1.16.1")).toEqual({
    canLimitConsole: true,
    canSetMtu: true,
    canChangeTap: true,
    canMoveVsock: true,
  });
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

test("the kernel's line lets it load modules, ends the VMM at a reboot and takes its address as the documents say", () => {
  const line = kernelCommandLine(spec);
  expect(line).toBe(
    "console=ttyS0,115200 reboot=k i8042.noaux i8042.nomux i8042.dumbkbd panic=1 root=/dev/vda ro net.ifnames=0 " +
      "quiet loglevel=6 systemd.show_status=yes ip=192.168.100.5::192.168.100.1:255.255.255.0:vm:eth0:off",
  );
  expect(line.split(" ")).not.toContain("nomodule");
});
