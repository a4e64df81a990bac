import { mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, describe, expect, test } from "vitest";
import { archiveLines, parseDeb822, parseOneLine, readHostDistribution, readHostSources } from "./apt-sources.ts";

const bookworm = { id: "debian", codename: "bookworm" };
const trixie = { id: "debian", codename: "trixie" };

describe("parseDeb822", () => {
  test("gives every URI with every suite, past comments and disabled stanzas", () => {
    const text = `Types: deb deb-src
# http://snapshot.test/debian
URIs: http://a.test/debian
  http://b.test/debian
Suites: bookworm bookworm-updates
Components: main
Signed-By: /usr/share/keyrings/k.gpg

Types: deb
URIs: http://off.test/debian
Suites: bookworm
Enabled: no

Types: deb-src
URIs: http://src.test/debian
Suites: bookworm
`;
    expect(parseDeb822(text)).toEqual([
      { uri: "http://a.test/debian", suite: "bookworm", keyring: "/usr/share/keyrings/k.gpg" },
      { uri: "http://a.test/debian", suite: "bookworm-updates", keyring: "/usr/share/keyrings/k.gpg" },
      { uri: "http://b.test/debian", suite: "bookworm", keyring: "/usr/share/keyrings/k.gpg" },
      { uri: "http://b.test/debian", suite: "bookworm-updates", keyring: "/usr/share/keyrings/k.gpg" },
    ]);
  });

  test("takes a key inside the stanza for no keyring", () => {
    const text =
      "Types: deb\nURIs: http://a.test/\nSuites: x\nSigned-By:\n -----BEGIN PGP PUBLIC KEY BLOCK-----\n .\n mQ==\n";
    expect(parseDeb822(text)).toEqual([{ uri: "http://a.test/", suite: "x" }]);
  });
});

describe("parseOneLine", () => {
  test("reads options and leaves comments and sources out", () => {
    const text = `# deb http://no.test/ x main
deb [arch=amd64 signed-by=/k.gpg] http://a.test/debian bookworm main contrib # tail
deb-src http://a.test/debian bookworm main
  deb http://b.test/debian bookworm/updates main`;
    expect(parseOneLine(text)).toEqual([
      { uri: "http://a.test/debian", suite: "bookworm", keyring: "/k.gpg" },
      { uri: "http://b.test/debian", suite: "bookworm/updates" },
    ]);
  });
});

describe("archiveLines", () => {
  const sources = [
    { uri: "http://other.test/tool", suite: "nodistro" },
    { uri: "http://a.test/debian", suite: "bookworm-backports" },
    { uri: "http://a.test/debian", suite: "bookworm", keyring: "/k.gpg" },
    { uri: "http://a.test/debian", suite: "bookworm-updates", keyring: "/k.gpg" },
    { uri: "http://s.test/debian-security", suite: "bookworm-security" },
  ];

  test("puts the recipe's suite in place of the host's, with updates and security", () => {
    expect(archiveLines(trixie, bookworm, sources)).toEqual([
      "deb [signed-by=/k.gpg] http://a.test/debian trixie main",
      "deb [signed-by=/k.gpg] http://a.test/debian trixie-updates main",
      "deb http://s.test/debian-security trixie-security main",
    ]);
  });

  test("knows a host by its alias", () => {
    expect(archiveLines(trixie, bookworm, [{ uri: "http://a.test/", suite: "oldstable" }])).toEqual([
      "deb http://a.test/ trixie main",
    ]);
  });

  test("derives nothing from another distribution", () => {
    expect(
      archiveLines(trixie, { id: "ubuntu", codename: "noble" }, [{ uri: "http://u.test/", suite: "noble" }]),
    ).toEqual([]);
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

    expect(await readHostSources(root)).toEqual([
      { uri: "http://a.test/debian", suite: "bookworm" },
      { uri: "http://m.test/debian", suite: "bookworm" },
    ]);
    expect(await readHostDistribution(root)).toEqual(bookworm);
  });
});
