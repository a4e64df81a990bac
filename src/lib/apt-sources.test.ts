import { expect, test } from "vitest";
import { parseAptSources, parseOsRelease } from "./apt-sources.mjs";

test("stanzas: past comments, those that are switched off and those of sources", () => {
  const text = `Types: deb deb-src
# http://snapshot.test/debian
URIs: http://a.test/debian
  http://b.test/debian
Suites: bookworm bookworm-updates
Components: main contrib
Signed-By: /usr/share/keyrings/k.gpg

Types: deb
URIs: http://off.test/debian
Suites: bookworm
Enabled: no

Types: deb-src
URIs: http://src.test/debian
Suites: bookworm
`;
  expect(parseAptSources("debian.sources", text)).toEqual([
    {
      uris: ["http://a.test/debian", "http://b.test/debian"],
      suites: ["bookworm", "bookworm-updates"],
      components: ["main", "contrib"],
      signedBy: "/usr/share/keyrings/k.gpg",
    },
  ]);
});

test("a key that is embedded over several lines stays whole", () => {
  const text = "Types: deb\nSigned-By:\n -----BEGIN\n .\n mQ:IN\n -----END\nSuites: bookworm";
  expect(parseAptSources("a.sources", text)).toMatchObject([
    { signedBy: "-----BEGIN\n .\n mQ:IN\n -----END", suites: ["bookworm"] },
  ]);
});

test("lines: options, and neither comments nor sources", () => {
  const text = `# deb http://no.test/ x main
deb [arch=amd64 signed-by=/k.gpg] http://a.test/debian bookworm main contrib # tail
deb-src http://a.test/debian bookworm main
  deb http://b.test/debian bookworm/updates main`;
  expect(parseAptSources("a.list", text)).toEqual([
    { uris: ["http://a.test/debian"], suites: ["bookworm"], components: ["main", "contrib"], signedBy: "/k.gpg" },
    { uris: ["http://b.test/debian"], suites: ["bookworm/updates"], components: ["main"], signedBy: "" },
  ]);
});

test("a file of another name is none of apt's", () => {
  expect(parseAptSources("a.list.disabled", "deb http://a.test/debian bookworm main")).toEqual([]);
});

test("parseOsRelease takes quotes off", () => {
  expect(parseOsRelease('PRETTY_NAME="Debian GNU/Linux 12 (bookworm)"\nID=debian\nVERSION_ID="12"\n')).toEqual({
    PRETTY_NAME: "Debian GNU/Linux 12 (bookworm)",
    ID: "debian",
    VERSION_ID: "12",
  });
});
