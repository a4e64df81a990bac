import { expect, test } from "vitest";
import { createAcceleratorChoice } from "./accelerator.ts";

test("follows what is proven of KVM now: its module may be loaded, and QEMU exchanged, while a controller runs", async () => {
  let usable = false;
  const kvm = async () => ({ usable, reason: usable ? "A kernel booted." : "There is no /dev/kvm.", measuredMs: 0 });
  const choose = createAcceleratorChoice({ accel: "auto", kvm });
  const strict = createAcceleratorChoice({ accel: "kvm", kvm });
  expect(await choose("/vmlinux")).toMatchObject({
    accelerator: { kind: "emulation" },
    reason: "There is no /dev/kvm.",
  });
  await expect(strict("/vmlinux")).rejects.toMatchObject({ code: "kvm-unusable" });
  usable = true;
  for (const now of [choose, strict]) {
    expect(await now("/vmlinux")).toEqual({ accelerator: { kind: "kvm" }, reason: "A kernel booted." });
  }
});
