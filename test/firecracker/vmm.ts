/** The configuration that has Firecracker, and nothing else, start microVMs. */
import { join } from "node:path";
import type { ConfigFile } from "../../src/config/config.ts";

const folder = process.env.SALLYPORT_TEST_FIRECRACKER ?? "";

export const FIRECRACKER: ConfigFile["vmm"] = {
  backend: "firecracker",
  firecracker: join(folder, "firecracker"),
  jailer: join(folder, "jailer"),
};

/** What a healthy guest keeps in a KVM that is emulated itself, beside another one; the product's own are for hosts. */
export const DEADLINES_SEC = {
  kernel: 90,
  agent: 280,
  addressed: 30,
  reachable: 30,
  display: 120,
  browser: 400,
};
