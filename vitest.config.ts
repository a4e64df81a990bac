import { defineConfig } from "vitest/config";

const MINUTE = 60_000;

/** Runs one file after the other, with an image to boot from: two guests at once would starve each other on two cores. */
const withGuests = (name: string, order: number, testTimeout: number) => ({
  test: {
    name,
    include: [`test/${name}/**/*.test.ts`],
    globalSetup: ["test/global-image.ts"],
    fileParallelism: false,
    sequence: { groupOrder: order },
    testTimeout,
    hookTimeout: 5 * MINUTE,
  },
});

/** All guests of the faults are one run, which is made before the first test asks for its results. */
const withFaults = ({ test }: ReturnType<typeof withGuests>) => ({
  test: { ...test, include: ["test/faults/faults.test.ts"], hookTimeout: 45 * MINUTE },
});

/** Emulated processors bring the KVM that runs these guests: everything takes several times as long. */
const withFirecracker = ({ test }: ReturnType<typeof withGuests>) => ({
  test: {
    ...test,
    exclude: ["test/firecracker/report.test.ts"],
    globalSetup: [...test.globalSetup, "test/firecracker/setup.ts"],
    hookTimeout: 10 * MINUTE,
  },
});

export default defineConfig({
  test: {
    projects: [
      {
        test: {
          name: "unit",
          // Many of them start programs, and npm test's own neighbours may hold the cores.
          testTimeout: 20_000,
          include: [
            "{src,rig,scripts,web}/**/*.test.ts",
            "test/*.test.ts",
            "test/host/*.test.ts",
            "test/firecracker/report.test.ts",
            "test/faults/{report,sabotage,slots}.test.ts",
            "test/bench/*.test.ts",
          ],
          sequence: { groupOrder: 0 },
        },
      },
      {
        // Bridges, firewall and a real server: root, but no guest.
        test: {
          name: "integration",
          include: ["test/integration/**/*.test.ts"],
          fileParallelism: false,
          sequence: { groupOrder: 1 },
          testTimeout: MINUTE,
          hookTimeout: MINUTE,
        },
      },
      withGuests("conformance", 2, 5 * MINUTE),
      withGuests("boot", 3, 5 * MINUTE),
      withGuests("e2e", 4, 8 * MINUTE),
      withFaults(withGuests("faults", 5, MINUTE)),
      withFirecracker(withGuests("firecracker", 6, 10 * MINUTE)),
    ],
  },
});
