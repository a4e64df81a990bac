import { expect, test } from "vitest";
import { probeKvm } from "./kvm-probe.ts";

test("a host without /dev/kvm is told as that, also where nothing is there to boot a kernel with", async () => {
  const nothing = { vmlinux: "/nonexistent", cacheFile: "/nonexistent/kvm.json" };
  const verdict = await probeKvm({ ...nothing, device: "/nonexistent" });
  expect(verdict).toEqual({ usable: false, reason: expect.stringContaining("no /dev/kvm"), measuredMs: 0 });
});

test("who asks about KVM where QEMU is missing, too old or hangs is told what it is for, and what to install", async () => {
  // No QEMU says its version within a millisecond.
  const asked = probeKvm({ vmlinux: "/proc/self/exe", cacheFile: "/nonexistent", device: "/dev/null", versionMs: 1 });
  await expect(asked).rejects.toMatchObject({
    code: "vmm-missing",
    message: expect.stringMatching(/^To see whether KVM works here, Sallyport boots a kernel with QEMU, .*: .*qemu/i),
    hint: expect.stringContaining("qemu-system-x86"),
  });
});
