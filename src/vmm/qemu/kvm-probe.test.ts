import { expect, test } from "vitest";
import { probeKvm } from "./kvm-probe.ts";

test("a host without /dev/kvm is told as that, also where nothing is there to boot a kernel with", async () => {
  const nothing = { vmlinux: "/nonexistent", cacheFile: "/nonexistent/kvm.json" };
  const verdict = await probeKvm({ ...nothing, device: "/nonexistent" });
  expect(verdict).toEqual({ usable: false, reason: expect.stringContaining("no /dev/kvm"), measuredMs: 0 });
});
