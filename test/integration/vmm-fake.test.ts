import { createFakeBackend } from "../fixtures/fake-backend.ts";
import { vmmConformance } from "../conformance/vmm.ts";

vmmConformance("fake", async () => ({
  backend: createFakeBackend({
    behaviour: ({ image }) => (image.rootfs === "/missing" ? { vmm: "dies-at-start" } : {}),
  }),
  image: { vmlinux: "/fake", initrd: "/fake", rootfs: "/fake" },
  uidBase: 1_000_000_000 + (process.pid % 1_000_000) * 200,
  makeTap: async () => "/proc/self/ns/net",
  removeTap: async () => {},
  broken: (spec) => ({ ...spec, image: { ...spec.image, rootfs: "/missing" } }),
  saysBroken: /could not open/i,
}));
