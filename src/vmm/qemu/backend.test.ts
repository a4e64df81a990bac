import { existsSync } from "node:fs";
import { expect, test, vi } from "vitest";
import { hostGround } from "../ground.ts";
import type { MicrovmSpec, StartHooks } from "../vmm.ts";
import { QEMU } from "./arguments.ts";
import { createQemuBackend } from "./backend.ts";

vi.mock("./version.ts", () => ({ qemuVersion: async () => "10.0.0" }));

test("a start that is ended while KVM is still tried for it is not waited for", async () => {
  const stop = new AbortController();
  const kvm = (): Promise<never> => {
    setImmediate(() => stop.abort(new Error("enough")));
    return new Promise(() => {});
  };
  const spec = { image: { vmlinux: "/image/vmlinux" } } as MicrovmSpec;
  const hooks = { signal: stop.signal } as StartHooks;
  const started = createQemuBackend({ accel: "auto", kvm }).start(spec, { kind: "boot" }, hooks);
  await expect(started).rejects.toThrow("enough");
});

test.skipIf(!existsSync(QEMU))(
  "names the build that freezes, how instructions run, and the host: what one of them froze no other restores",
  async () => {
    const groundOf = (usable: boolean) => {
      const kvm = async () => ({ usable, reason: "So it was found.", measuredMs: 1 });
      return createQemuBackend({ accel: "auto", kvm }).snapshots?.ground("/image/vmlinux");
    };
    const told = expect.stringMatching(/^[0-9a-f]{16}$/);
    const vmm = expect.stringMatching(/^qemu 10\.0\.0, \d+ bytes of 20\d\d-\d\d-/);
    expect(await groundOf(false)).toEqual({ vmm, told, accel: "emulation", ...(await hostGround()) });
    expect(await groundOf(true)).toEqual({ vmm, told, accel: "kvm", ...(await hostGround()) });
  },
);
