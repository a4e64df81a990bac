import { readFileSync } from "node:fs";
import { expect, test } from "vitest";
import { silentLogger } from "../lib/logger.ts";
import { dataPaths } from "../lib/paths.ts";
import { standardBackends, type StandardOptions } from "./backends.ts";

const STANDARD: StandardOptions = {
  vm: { accel: "auto" },
  vmm: { backend: "auto" },
  path: "",
  paths: dataPaths("/nonexistent"),
  probe: { cacheFile: "/nonexistent" },
  logger: silentLogger(),
};

test.each<[StandardOptions["vmm"]["backend"], StandardOptions["vm"]["accel"], string[]]>([
  ["auto", "auto", ["firecracker", "qemu"]],
  ["auto", "kvm", ["firecracker", "qemu"]],
  ["auto", "emulation", ["qemu"]],
  ["firecracker", "auto", ["firecracker"]],
  ["qemu", "auto", ["qemu"]],
  ["qemu", "emulation", ["qemu"]],
])("vmm.backend %s with vm.accel %s: new microVMs get the first that suits of %j", (backend, accel, names) => {
  const { candidates, all, of } = standardBackends({ ...STANDARD, vm: { accel }, vmm: { backend } });
  expect(candidates.map(({ name }) => name)).toEqual(names);
  // Old ones are left to what started them.
  expect(all.map(({ name }) => name).toSorted()).toEqual(["firecracker", "qemu"]);
  expect(of("firecracker").name).toBe("firecracker");
});

test("docs/HOST-SETUP.md has what each VMM takes of memory and disk", () => {
  const text = readFileSync("docs/HOST-SETUP.md", "utf8").replaceAll("\n", " ");
  const [memory = "", disk = ""] = /last line says how many(.*?)Disk, while(.*?)Not seen/.exec(text)?.slice(1) ?? [];
  const { all } = standardBackends(STANDARD);
  for (const { name, overheadMib, diskMib } of all) {
    expect(memory.toLowerCase()).toMatch(new RegExp(`${overheadMib} mib with ${name}`));
    expect(disk.toLowerCase()).toMatch(new RegExp(`${diskMib} mib (each )?with ${name}`));
  }
});
