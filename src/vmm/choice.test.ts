import { describe, expect, test } from "vitest";
import { AppError } from "../lib/errors.ts";
import { silentLogger, type Logger } from "../lib/logger.ts";
import { createBackends } from "./backends.ts";
import { kvmUnusable } from "./kvm.ts";
import type { Suitability, VmmBackend } from "./vmm.ts";

/** Of a backend, what a choice looks at. */
const backend = (name: string, suits: VmmBackend["suits"]): VmmBackend => ({ name, suits }) as VmmBackend;

const noKvm = kvmUnusable({ usable: false, reason: "This host offers no /dev/kvm.", measuredMs: 0 });
const fast = backend("fast", async () => ({ accel: "kvm", why: "Fast 1.2.3 in KVM." }));
const kvmless = backend("fast", () => Promise.reject(noKvm));
const missing = backend("fast", () =>
  Promise.reject(new AppError("unavailable", "vmm-missing", "There is no\n program fast.", { hint: "Install it." })),
);
const steady = backend("steady", async () => ({
  accel: "emulation",
  why: "Steady 4.5 by emulation. This host offers no /dev/kvm.",
}));
const old = backend("steady", () => Promise.reject(new AppError("unavailable", "vmm-too-old", "Steady 1 is too old.")));

const choose = (...candidates: VmmBackend[]) =>
  createBackends({ candidates, logger: silentLogger(), requireJail: () => {} }).choose("/image/vmlinux");

describe("what starts new microVMs", () => {
  test("the first that suits, with what was against those before it", async () => {
    expect(await choose(fast, steady)).toEqual({ backend: fast, accel: "kvm", why: "Fast 1.2.3 in KVM." });
    expect(await choose(missing, steady)).toMatchObject({
      backend: steady,
      why: "Steady 4.5 by emulation. This host offers no /dev/kvm. Not fast: There is no program fast.",
    });
    expect(await choose(kvmless, steady)).toMatchObject({
      accel: "emulation",
      why: "Steady 4.5 by emulation. This host offers no /dev/kvm. Not fast: it needs KVM.",
    });
  });

  test("where none suits, the last one's refusal says what was against each", async () => {
    await expect(choose(missing)).rejects.toMatchObject({ code: "vmm-missing", hint: "Install it." });
    await expect(choose(kvmless, old)).rejects.toMatchObject({
      code: "vmm-too-old",
      message: "Steady 1 is too old. Not fast: KVM does not work on this host. This host offers no /dev/kvm.",
    });
  });

  test("why KVM does not work is said once, whoever is last", async () => {
    const quick = backend("quick", () => Promise.reject(noKvm));
    await expect(choose(kvmless, quick)).rejects.toMatchObject({
      message: "KVM does not work on this host. This host offers no /dev/kvm. Not fast: it needs KVM.",
    });
    await expect(choose(kvmless, quick, old)).rejects.toMatchObject({
      message:
        "Steady 1 is too old. Not fast: KVM does not work on this host. This host offers no /dev/kvm. Not quick: it needs KVM.",
    });
  });

  test("none where no VMM can be jailed, however it suits: looked at each time, and before any is tried", async () => {
    let lacks = ["bwrap"];
    const tried: string[] = [];
    const suits = backend("fast", async (vmlinux) => {
      tried.push(vmlinux);
      return { accel: "kvm", why: "Fast." };
    });
    const requireJail = (): void => {
      if (lacks.length > 0) throw new AppError("unavailable", "program-missing", `${lacks.join()} is not there.`);
    };
    const backends = createBackends({ candidates: [suits], logger: silentLogger(), requireJail });
    await expect(backends.choose("/a")).rejects.toMatchObject({ code: "program-missing" });
    expect(tried).toEqual([]);
    lacks = [];
    expect(await backends.choose("/a")).toMatchObject({ why: "Fast." });
    lacks = ["nsenter"];
    await expect(backends.choose("/a")).rejects.toMatchObject({ message: "nsenter is not there." });
  });

  test("what nobody foresaw is no reason to take another", async () => {
    const broken = backend("fast", () => Promise.reject(new TypeError("x is undefined")));
    await expect(choose(broken, steady)).rejects.toThrow(TypeError);
  });

  test("is decided anew for each, for programs come, go and are exchanged; the backend of a microVM's record is known whatever is chosen", async () => {
    const kernels: string[] = [];
    let found: Suitability | AppError = { accel: "kvm", why: "Fast 1.0 in KVM." };
    const changing = backend("fast", async (vmlinux) => {
      kernels.push(vmlinux);
      if (found instanceof AppError) throw found;
      return found;
    });
    const told: unknown[] = [];
    const tell = (about: object): void => void told.push(about);
    const logger = { info: tell, warn: tell } as unknown as Logger;
    const backends = createBackends({ candidates: [changing], others: [steady], logger, requireJail: () => {} });
    const whys = async (): Promise<string> => (await backends.choose("/a")).why;
    expect(await whys()).toBe("Fast 1.0 in KVM.");
    found = { accel: "kvm", why: "Fast 1.1 in KVM." };
    expect(await Promise.all([whys(), whys(), whys()])).toEqual(Array(3).fill(found.why));
    expect([kernels, told.length]).toEqual([["/a", "/a"], 2]);
    found = new AppError("unavailable", "vmm-mismatch", "They work together only in one version.");
    await expect(whys()).rejects.toMatchObject({ code: "vmm-mismatch" });
    const both = createBackends({ candidates: [changing, steady], logger, requireJail: () => {} });
    expect(await both.choose("/a")).toMatchObject({
      backend: steady,
      why: expect.stringContaining("Not fast: They work"),
    });
    found = { accel: "kvm", why: "Fast 1.1 in KVM." };
    expect(await both.choose("/a")).toMatchObject({ backend: changing });
    expect(backends.of("steady")).toBe(steady);
    expect(backends.all).toEqual([changing, steady]);
    expect(() => backends.of("hal9000")).toThrow(expect.objectContaining({ code: "backend-unknown" }));
  });
});
