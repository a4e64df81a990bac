/** What `doctor` says of QEMU on this host. */
import type { VmmCheck } from "../vmm.ts";
import { qemuVersion } from "./version.ts";

export const QEMU_CHECKS: readonly VmmCheck[] = [
  { name: "qemu", deadlineMs: 6_000, look: async () => ({ result: "ok", text: `QEMU ${await qemuVersion()}` }) },
];
