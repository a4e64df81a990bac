import { describe, expect, test } from "vitest";
import { parseAptSources } from "../src/lib/apt-sources.mjs";
import { REQUIREMENTS, type Requirement } from "../src/lib/host-packages.mjs";
import { planInstallation } from "./apt-plan.mjs";

const named = (...names: string[]): Requirement[] => REQUIREMENTS.filter((one) => names.includes(one.package));

const bookworm = { ID: "debian", VERSION_ID: "12", VERSION_CODENAME: "bookworm", PRETTY_NAME: "Debian 12" };
const trixie = { ID: "debian", VERSION_ID: "13", VERSION_CODENAME: "trixie", PRETTY_NAME: "Debian 13" };

const deb822 = `# made by the installer
Types: deb
URIs: http://mirror.invalid/debian
Suites: bookworm bookworm-updates
Components: main contrib
Signed-By: /usr/share/keyrings/archive.gpg

Types: deb
URIs: http://mirror.invalid/debian-security
Suites: bookworm-security
Components: main
`;
const sources = parseAptSources("debian.sources", deb822);

describe("planInstallation", () => {
  test("Debian 12 takes QEMU from backports of the machine's own archive, and the rest from its own", () => {
    const plan = planInstallation(named("qemu-system-x86", "nftables"), bookworm, sources);
    expect(plan.source?.path).toBe("/etc/apt/sources.list.d/sallyport-backports.sources");
    expect(plan.source?.text).toContain(
      "Types: deb\nURIs: http://mirror.invalid/debian\nSuites: bookworm-backports\nComponents: main\nSigned-By: /usr/share/keyrings/archive.gpg\n",
    );
    expect(plan.calls).toEqual([
      ["update"],
      ["install", "--yes", "--no-install-recommends", "nftables"],
      ["install", "--yes", "--no-install-recommends", "--target-release", "bookworm-backports", "qemu-system-x86"],
    ]);
  });

  test("backports that are configured already are not added again", () => {
    const more = parseAptSources("b.list", "deb http://mirror.invalid/debian bookworm-backports main");
    const plan = planInstallation(named("qemu-system-x86"), bookworm, [...sources, ...more]);
    expect(plan.source).toBeUndefined();
    expect(plan.calls.at(-1)).toContain("bookworm-backports");
  });

  test("backports that are switched off do not count", () => {
    const off = parseAptSources(
      "b.sources",
      "Enabled: no\nTypes: deb\nURIs: http://x.invalid\nSuites: bookworm-backports\nComponents: main",
    );
    expect(planInstallation(named("qemu-system-x86"), bookworm, [...sources, ...off]).source).toBeDefined();
  });

  test("Debian 12 without a usable source is refused", () => {
    expect(() => planInstallation(named("qemu-system-x86"), bookworm, [])).toThrow(/no apt source for bookworm/);
  });

  test.each([trixie, { ID: "ubuntu", VERSION_ID: "24.04", VERSION_CODENAME: "noble" }, { ID: "debian" }])(
    "%o has everything itself",
    (osRelease) => {
      expect(planInstallation(named("qemu-system-x86", "mmdebstrap"), osRelease, [])).toEqual({
        source: undefined,
        calls: [["update"], ["install", "--yes", "--no-install-recommends", "qemu-system-x86", "mmdebstrap"]],
      });
    },
  );

  test.each([
    { ID: "debian", VERSION_ID: "11", PRETTY_NAME: "Debian 11" },
    { ID: "ubuntu", VERSION_ID: "22.04", PRETTY_NAME: "Ubuntu 22.04" },
    { ID: "fedora", VERSION_ID: "44", PRETTY_NAME: "Fedora 44" },
  ])("$PRETTY_NAME is refused by name, with what is missing", (osRelease) => {
    expect(() => planInstallation(named("qemu-system-x86"), osRelease, [])).toThrow(
      expect.objectContaining({
        message: expect.stringContaining(osRelease.PRETTY_NAME),
        hint: expect.stringContaining("qemu-system-x86 8.2 or newer"),
      }),
    );
  });
});
