import { expect, test } from "vitest";
import { silentLogger } from "../lib/logger.ts";
import { dataPaths } from "../lib/paths.ts";
import { standardBackends, type StandardOptions } from "./backends.ts";

test.each<[StandardOptions["vmm"]["backend"], StandardOptions["vm"]["accel"], string[]]>([
  ["auto", "auto", ["firecracker", "qemu"]],
  ["auto", "kvm", ["firecracker", "qemu"]],
  ["auto", "emulation", ["qemu"]],
  ["firecracker", "auto", ["firecracker"]],
  ["qemu", "auto", ["qemu"]],
  ["qemu", "emulation", ["qemu"]],
])("vmm.backend %s with vm.accel %s: new microVMs get the first that suits of %j", (backend, accel, names) => {
  const probe = { cacheFile: "/nonexistent" };
  const { candidates, all, of } = standardBackends({
    vm: { accel },
    vmm: { backend },
    path: "",
    paths: dataPaths("/nonexistent"),
    probe,
    logger: silentLogger(),
  });
  expect(candidates.map(({ name }) => name)).toEqual(names);
  // Old ones are left to what started them.
  expect(all.map(({ name }) => name).toSorted()).toEqual(["firecracker", "qemu"]);
  expect(of("firecracker").name).toBe("firecracker");
});
