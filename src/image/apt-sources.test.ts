import { mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, describe, expect, test } from "vitest";
import { parseAptSources } from "../lib/apt-sources.mjs";
import { archiveLines, hostDistribution, usableSources } from "./apt-sources.ts";

const bookworm = { id: "debian", codename: "bookworm" };
const trixie = { id: "debian", codename: "trixie" };

describe("archiveLines", () => {
  const from = (text: string) => parseAptSources("a.list", text);
  const sources = from(`deb http://other.test/tool nodistro main
deb http://a.test/debian bookworm-backports main
deb [signed-by=/k.gpg] http://a.test/debian bookworm main
deb [signed-by=/k.gpg] http://a.test/debian bookworm-updates main
deb http://s.test/debian-security bookworm-security main`);

  test("puts the recipe's suite in place of the host's, with updates and security", () => {
    expect(archiveLines(trixie, bookworm, sources)).toEqual([
      "deb [signed-by=/k.gpg] http://a.test/debian trixie main",
      "deb [signed-by=/k.gpg] http://a.test/debian trixie-updates main",
      "deb http://s.test/debian-security trixie-security main",
    ]);
  });

  test("knows a host by its alias", () => {
    expect(archiveLines(trixie, bookworm, from("deb http://a.test/ oldstable main"))).toEqual([
      "deb http://a.test/ trixie main",
    ]);
  });

  test("takes a key inside the source for no keyring", () => {
    const text =
      "Types: deb\nURIs: http://a.test/\nSuites: bookworm\nSigned-By:\n -----BEGIN PGP PUBLIC KEY BLOCK-----\n .\n mQ==\n";
    expect(archiveLines(trixie, bookworm, parseAptSources("a.sources", text))).toEqual([
      "deb http://a.test/ trixie main",
    ]);
  });

  test("derives nothing from another distribution", () => {
    expect(archiveLines(trixie, { id: "ubuntu", codename: "noble" }, from("deb http://u.test/ noble main"))).toEqual(
      [],
    );
  });
});

describe("the host's files", () => {
  let root = "";
  afterEach(() => rm(root, { recursive: true }));

  test("are read in apt's order, mirror lists followed, anything else ignored", async () => {
    root = await mkdtemp(join(tmpdir(), "sallyport-apt-"));
    await mkdir(join(root, "etc/apt/sources.list.d"), { recursive: true });
    await mkdir(join(root, "etc/apt/mirrors"));
    const write = (path: string, text: string): Promise<void> => writeFile(join(root, "etc", path), text);
    await write("os-release", 'NAME="Debian"\nID=debian\nVERSION_CODENAME=bookworm\n');
    await write("apt/mirrors/debian.list", "# ours\nhttp://m.test/debian priority:1\n");
    await write(
      "apt/sources.list.d/b.sources",
      "Types: deb\nURIs: mirror+file:///etc/apt/mirrors/debian.list\nSuites: bookworm\n",
    );
    await write(
      "apt/sources.list.d/a.list",
      "deb http://a.test/debian bookworm main\ndeb cdrom:[disc] bookworm main\n",
    );
    await write("apt/sources.list.d/c.list.disabled", "deb http://c.test/debian bookworm main\n");

    expect((await usableSources(root)).map(({ uris }) => uris)).toEqual([
      ["http://a.test/debian"],
      ["http://m.test/debian"],
    ]);
    expect(hostDistribution(root)).toEqual(bookworm);
  });
});
