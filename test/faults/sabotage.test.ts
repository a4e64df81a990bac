import { expect, test } from "vitest";
import { qemuArguments } from "../../src/vmm/qemu/arguments.ts";
import { specOf } from "../fixtures/spec.ts";
import { sabotagedSpec, withoutNic } from "./sabotage.ts";

const spec = specOf({ kernelArgs: ["ip=192.168.100.5::192.168.100.1:255.255.255.0::eth0:off"] });

test("an empty plan changes nothing", async () => {
  expect(await sabotagedSpec(spec, {})).toEqual(spec);
});

test("ip= is left out, or changed where the plan says, or the plan is refused", async () => {
  expect((await sabotagedSpec(spec, { ip: null })).kernelArgs).toEqual([]);
  expect((await sabotagedSpec(spec, { ip: [":off$", ":on"] })).kernelArgs[0]).toMatch(/eth0:on$/);
  await expect(sabotagedSpec(spec, { ip: [":eth1:", ":eth2:"] })).rejects.toThrow(/nothing in ip=/);
});

test("a fault in the guest is handed to the saboteur, which then starts in systemd's place", async () => {
  expect((await sabotagedSpec(spec, { inGuest: "no-display" })).kernelArgs.slice(1)).toEqual([
    "init=/usr/local/lib/faults/saboteur",
    "sallyport.fault=no-display",
  ]);
});

test("the network device goes with its back end, and nothing else", () => {
  const args = qemuArguments(spec, { kind: "kvm" });
  const left = withoutNic(args);
  expect(left.join(" ")).not.toMatch(/sp-abc1|virtio-net/);
  expect(args.filter((arg) => !left.includes(arg))).toEqual([
    "-netdev",
    "tap,id=net,ifname=sp-abc1,script=no,downscript=no",
    "virtio-net-device,netdev=net,mac=06:00:c0:a8:64:05",
  ]);
  expect(() => withoutNic(left)).toThrow(/not found/);
});
