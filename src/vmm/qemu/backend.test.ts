import { expect, test } from "vitest";
import type { MicrovmSpec, StartHooks } from "../vmm.ts";
import { createQemuBackend } from "./backend.ts";

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
