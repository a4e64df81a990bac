import { expect, test } from "vitest";
import { baseSystemOf } from "../../src/image/base-system.ts";
import { loadRecipe } from "../../src/image/recipe.ts";
import { REQUIREMENTS } from "../../src/lib/host-packages.mjs";

/** Debian installs them everywhere. */
const ESSENTIAL = ["util-linux", "dash", "coreutils"];
/** Images are built before, and carried in. */
const LEFT_OUT = ["image", "debian", "ubuntu"];

test("the test host has every package that a host must have to run microVMs and whole sign-ins", async () => {
  const { packages } = baseSystemOf(await loadRecipe("test/host/image/recipe.yaml"), []);
  const wanted = REQUIREMENTS.filter(({ purpose }) => !LEFT_OUT.includes(purpose)).map((one) => one.package);
  expect(wanted.length).toBeGreaterThan(5);
  expect([...ESSENTIAL, ...packages]).toEqual(expect.arrayContaining(wanted));
});
