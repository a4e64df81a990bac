/** The VMMs that new microVMs can be started with, the one that is wished for most first. `needsKvm`: it cannot emulate. */
export const VMMS = [
  { name: "firecracker", needsKvm: true },
  { name: "qemu", needsKvm: false },
] as const;

export type Vmm = (typeof VMMS)[number];
export type VmmName = Vmm["name"];

export const VMM_NAMES: readonly VmmName[] = VMMS.map(({ name }) => name);
