/** What `doctor` says of QEMU on this host. */
import type { VmmCheck } from "../vmm.ts";
import { qemuVersion } from "./version.ts";

export const qemuChecks = (versionMs: number): readonly VmmCheck[] => [
  { name: "qemu", look: async () => ({ result: "ok", text: `QEMU ${await qemuVersion(versionMs)}` }) },
];
