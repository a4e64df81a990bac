import { readFileSync } from "node:fs";
import { describe, expect, test } from "vitest";
import { GUEST_PORTS } from "../contract/guest.ts";
import { filesOnTop, mergePolicies } from "./guest-files.ts";
import { loadRecipe, type GuestFile } from "./recipe.ts";

const file = (path: string, content: string): GuestFile => ({ path, content: Buffer.from(content), mode: 0o644 });
const agent = file("/usr/lib/sallyport/agent.cjs", "agent");
const textOf = (files: GuestFile[], path: string): string | undefined =>
  files.find((f) => f.path === path)?.content.toString();

describe("mergePolicies", () => {
  const shipped = JSON.stringify({
    policies: { DisableTelemetry: true, Preferences: { a: { Value: 1 }, b: { Value: 2 } } },
  });
  const merged = (extra: Parameters<typeof mergePolicies>[1], certificates: string[] = []): unknown =>
    (JSON.parse(mergePolicies(shipped, extra, certificates)) as { policies: unknown }).policies;

  test("keeps what a recipe does not name, at any depth", () => {
    expect(merged({ Preferences: { b: { Value: 3 } }, Homepage: { URL: "https://x.test/" } })).toEqual({
      DisableTelemetry: true,
      Preferences: { a: { Value: 1 }, b: { Value: 3 } },
      Homepage: { URL: "https://x.test/" },
    });
  });

  test("adds certificates to those a recipe's own policies name", () => {
    expect(merged({ Certificates: { ImportEnterpriseRoots: false, Install: ["/a.crt"] } }, ["/b.crt"])).toMatchObject({
      Certificates: { ImportEnterpriseRoots: false, Install: ["/a.crt", "/b.crt"] },
    });
    expect(merged({})).not.toHaveProperty("Certificates");
  });
});

describe("filesOnTop", () => {
  test("a recipe's file wins over ours of the same path, and appears once", async () => {
    const recipe = { ...(await loadRecipe()), files: [file("/etc/hostname", "theirs")] };
    const files = filesOnTop([file("/etc/hostname", "ours")], agent, recipe);
    expect(files.filter(({ path }) => path === "/etc/hostname").map(({ content }) => content.toString())).toEqual([
      "theirs",
    ]);
  });

  test("turns the recipe's fields into files, and leaves the initramfs to the base system", async () => {
    const recipe = { ...(await loadRecipe()), screen: { width: 800, height: 600 }, caCertificates: ["PEM 1", "PEM 2"] };
    const files = filesOnTop([file("/etc/initramfs-tools/modules", "ext4")], agent, recipe);
    expect(textOf(files, "/etc/sallyport/screen.env")).toBe("SCREEN=800x600\n");
    expect(textOf(files, "/usr/local/share/ca-certificates/sallyport-recipe-2.crt")).toBe("PEM 2");
    expect(textOf(files, "/etc/firefox/policies/policies.json")).toContain("sallyport-recipe-2.crt");
    expect(textOf(files, "/etc/initramfs-tools/modules")).toBeUndefined();
  });
});

test("what the image says about ports is what the host believes", () => {
  const shipped = (path: string): string => readFileSync(`src/guest/rootfs/${path}`, "utf8");
  expect(shipped("etc/systemd/system/sallyport-display.service")).toContain(` -rfbport ${GUEST_PORTS.rfb} `);
  expect(shipped("etc/firefox/policies/policies.json")).toContain(`"http://127.0.0.1:${GUEST_PORTS.page}/"`);
});
