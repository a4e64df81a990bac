/** Builds real images with mmdebstrap: root, a Debian archive, about a minute the first time and seconds after that. */
import { spawn } from "node:child_process";
import { once } from "node:events";
import { copyFile, cp, link, mkdir, mkdtemp, open, readdir, readFile, rm, stat, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { basename, dirname, join } from "node:path";
import { rootCertificates } from "node:tls";
import { zstdDecompressSync } from "node:zlib";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { imageManifest } from "../../src/contract/image-manifest.ts";
import { buildImage, type BuildImageOptions, type BuildImageResult } from "../../src/image/build.ts";
import { createImageStore } from "../../src/image/store.ts";
import { run } from "../../src/lib/exec.ts";
import { dataPaths } from "../../src/lib/paths.ts";
import { poll } from "../../src/lib/wait.ts";
import { testCache } from "../cache.ts";

// Base systems stay in the cache from one run to the next; images do not.
const paths = dataPaths(join(testCache(), "image"));
const store = createImageStore(paths);
const MINUTES = 60_000;

let folder = "";
let built: BuildImageResult;

const options = (extra: Partial<BuildImageOptions> = {}): BuildImageOptions => ({
  name: "test",
  paths,
  recipeFile: join(folder, "recipe.yaml"),
  agentBundle: join(folder, "agent.cjs"),
  ...extra,
});

const stageNames = (result: BuildImageResult): string[] => result.stages.map(({ name }) => name);

/** Text of a file in an image, without mounting it. */
const inImage = async (path: string): Promise<string> =>
  (await run("/usr/sbin/debugfs", ["-R", `cat ${path}`, built.image.rootfs])).stdout;

const namesInImage = async (path: string): Promise<string[]> =>
  (await run("/usr/sbin/debugfs", ["-R", `ls -p ${path}`, built.image.rootfs])).stdout
    .split("\n")
    .flatMap((line) => line.split("/")[5] ?? [])
    .filter((name) => name !== "." && name !== "..");

/** What an unfinished build may have left behind: folders, mounts, processes. */
const leftovers = async (): Promise<string[]> => {
  const folders = (await readdir(paths.imageCache)).filter((name) => name.startsWith("tmp-"));
  const mounts = (await readFile("/proc/self/mountinfo", "utf8"))
    .split("\n")
    .filter((line) => line.includes(paths.imageCache));
  const pids = (await readdir("/proc")).filter((name) => /^\d+$/.test(name) && Number(name) !== process.pid);
  const commands = await Promise.all(pids.map((pid) => readFile(`/proc/${pid}/cmdline`, "utf8").catch(() => "")));
  return [...folders, ...mounts, ...commands.filter((command) => command.includes(join(paths.imageCache, "tmp-")))];
};

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "sallyport-image-"));
  await rm(paths.images, { recursive: true, force: true });
  await writeFile(join(folder, "agent.cjs"), `// ${Date.now()}\n`);
  await writeFile(join(folder, "ca.pem"), rootCertificates[0] ?? "");
  await writeFile(
    join(folder, "recipe.yaml"),
    `files:
  - { path: /lib/sallyport-test/plain, content: from the recipe }
  - { path: /usr/local/bin/hello, content: "#!/bin/sh\\necho hello $1 > /etc/hello\\n", mode: '0755' }
caCertificates: [ca.pem]
commands: [[/usr/local/bin/hello, "a b"], [systemctl, enable, systemd-timesyncd.service]]
packages: [systemd-timesyncd]
screen: { width: 1024, height: 768 }
`,
  );
  built = await buildImage(options());
}, 6 * MINUTES);

afterAll(async () => {
  await rm(paths.images, { recursive: true, force: true });
  await rm(folder, { recursive: true });
});

describe("an image", () => {
  test("has its files under its digest, readable by all and writable by none", async () => {
    expect(built.wasBuilt).toBe(true);
    expect(basename(dirname(built.image.rootfs))).toBe(built.image.digest.slice("sha256:".length));
    for (const file of [built.image.rootfs, built.image.vmlinux, built.image.initrd]) {
      expect((await stat(file)).mode & 0o777).toBe(0o444);
    }
    expect((await readFile(built.image.vmlinux)).toString("latin1", 0, 4)).toBe("\x7fELF");
    expect(await leftovers()).toEqual([]);
  });

  test("is described by its manifest", async () => {
    const text = await readFile(join(dirname(built.image.rootfs), "manifest.json"), "utf8");
    const manifest = imageManifest.parse(JSON.parse(text));
    expect(manifest.packages).toHaveProperty("firefox-esr");
    expect(manifest.packages).toHaveProperty("systemd-timesyncd");
    expect(manifest.kernelRelease).toMatch(/cloud-amd64$/);
  });

  test("holds what the recipe asks for", async () => {
    expect(await inImage("/usr/lib/sallyport-test/plain")).toBe("from the recipe");
    expect(await inImage("/etc/hello")).toBe("hello a b\n");
    expect(await inImage("/etc/sallyport/screen.env")).toBe("SCREEN=1024x768\n");
    expect(await inImage("/etc/firefox/policies/policies.json")).toContain(
      "/usr/local/share/ca-certificates/sallyport-recipe-1.crt",
    );
    expect(await namesInImage("/etc/ssl/certs")).toContain("sallyport-recipe-1.pem");
  });

  test("runs our units and the recipe's, and no logins", async () => {
    expect((await namesInImage("/etc/systemd/system/multi-user.target.wants")).toSorted()).toEqual([
      "sallyport-agent.service",
      "sallyport-browser.service",
      "sallyport-bus.service",
      "sallyport-display.service",
      "sallyport-window-manager.service",
      "systemd-networkd.service",
    ]);
    const sysinit = await namesInImage("/etc/systemd/system/sysinit.target.wants");
    expect(sysinit.toSorted()).toEqual(["systemd-network-generator.service", "systemd-timesyncd.service"]);
    expect(await namesInImage("/etc/systemd/system/timers.target.wants")).toEqual([]);
    expect(await namesInImage("/etc/systemd/system")).toContain("serial-getty@.service");
  });

  test("has no identity and no way in: nothing in machine-id, no host keys, no seed, a locked root", async () => {
    expect(await inImage("/etc/machine-id")).toBe("");
    expect(await inImage("/etc/resolv.conf")).toBe("");
    expect((await namesInImage("/etc/ssh")).filter((name) => name.startsWith("ssh_host"))).toEqual([]);
    expect(await namesInImage("/var/lib/systemd")).not.toContain("random-seed");
    expect(await inImage("/etc/shadow")).toMatch(/^root:[*!]+:/m);
    expect(await namesInImage("/etc/apt")).not.toContain("sources.list");
  });

  test("has no second owner of eth0", async () => {
    expect(await namesInImage("/etc/systemd/network")).toEqual([]);
    // An uncompressed archive with microcode may come first; the one with the scripts is compressed.
    const initrd = await readFile(built.image.initrd);
    const archive = zstdDecompressSync(initrd.subarray(initrd.indexOf(Buffer.from("28b52ffd", "hex"))));
    expect(archive.includes("scripts/init-top/leave-network-alone")).toBe(true);
    expect(archive.includes("scripts/init-bottom/ram-overlay")).toBe(true);
  });
});

describe(
  "building again",
  () => {
    test("finds an unchanged image, under another name too", async () => {
      const again = await buildImage(options({ name: "other" }));
      expect(again.wasBuilt).toBe(false);
      expect(stageNames(again)).toEqual(["inputs"]);
      expect(again.image).toEqual({ ...built.image, name: "other" });
      expect((await store.list()).map(({ name }) => name)).toEqual(["other", "test"]);
    });

    test("with another agent does not run mmdebstrap, and moves the name", async () => {
      const agentBundle = join(folder, "agent-2.cjs");
      await writeFile(agentBundle, `// other ${Date.now()}\n`);
      const again = await buildImage(options({ name: "moved", agentBundle }));
      expect(again.wasBuilt).toBe(true);
      expect(stageNames(again)).not.toContain("base-system");
      expect(stageNames(again)).toContain("file-system");
      expect(again.image.digest).not.toBe(built.image.digest);
      expect((await store.find("moved"))?.digest).toBe(again.image.digest);
      expect((await store.find("test"))?.digest).toBe(built.image.digest);
    });

    test("a failing command of the recipe is named, and leaves nothing behind", async () => {
      const recipeFile = join(folder, "failing.yaml");
      await writeFile(recipeFile, "packages: [systemd-timesyncd]\ncommands: [[cp, /nothing-there, /x]]\n");
      await expect(buildImage(options({ name: "failing", recipeFile }))).rejects.toMatchObject({
        code: "recipe-command-failed",
        message: expect.stringContaining("cp /nothing-there /x"),
      });
      expect(await leftovers()).toEqual([]);
      expect(await store.find("failing")).toBeUndefined();
    });
  },
  3 * MINUTES,
);

describe(
  "verify",
  () => {
    test("accepts what was built and finds one flipped byte", async () => {
      expect(await store.verify("test")).toEqual({ ok: true, problems: [] });

      const copy = dataPaths(join(paths.root, "copy"));
      try {
        const target = join(copy.images, basename(dirname(built.image.rootfs)));
        await mkdir(target, { recursive: true });
        await cp(join(paths.images, "names"), join(copy.images, "names"), { recursive: true });
        await link(built.image.rootfs, join(target, "rootfs.ext4"));
        for (const name of ["vmlinux", "initrd", "manifest.json"])
          await copyFile(join(dirname(built.image.rootfs), name), join(target, name));
        await flipByte(join(target, "vmlinux"), 1_000_000);

        const { ok, problems } = await createImageStore(copy).verify("test");
        expect(ok).toBe(false);
        expect(problems).toEqual([expect.stringMatching(/^vmlinux: is sha256:/)]);
      } finally {
        await rm(copy.root, { recursive: true, force: true });
      }
    });

    test("says which command builds an image that is not there", async () => {
      await expect(store.verify("absent")).rejects.toMatchObject({
        code: "no-image",
        hint: expect.stringContaining("image build --name absent"),
      });
    });
  },
  MINUTES,
);

describe(
  "an interrupted build",
  () => {
    /** A recipe whose base system is in no cache, so that the interruption hits mmdebstrap. */
    const uncachedRecipe = async (): Promise<string> => {
      const recipeFile = join(folder, "uncached.yaml");
      await writeFile(recipeFile, `packages: [sallyport-no-such-package-${Date.now()}]\n`);
      return recipeFile;
    };

    test("by its signal leaves nothing behind", async () => {
      const abort = new AbortController();
      const recipeFile = await uncachedRecipe();
      const onProgress = ({ stage }: { stage: string }): void => {
        if (stage === "base-system") setTimeout(() => abort.abort(new Error("enough")), 3000);
      };
      const build = buildImage(options({ name: "aborted", recipeFile, onProgress, signal: abort.signal }));
      await expect(build).rejects.toThrow("enough");
      expect(await leftovers()).toEqual([]);
      expect(await store.find("aborted")).toBeUndefined();
    });

    test("by kill -9 ends its programs at once, and the next build removes its folder", async () => {
      const recipeFile = await uncachedRecipe();
      const child = spawn(process.execPath, [
        "--input-type=module",
        "-e",
        CHILD,
        JSON.stringify(options({ name: "killed", recipeFile })),
      ]);
      await once(child.stdout, "data");
      await poll(async () => ((await leftovers()).some((left) => left.includes("mmdebstrap")) ? true : undefined), {
        what: "mmdebstrap",
        timeoutMs: 30_000,
        intervalMs: 100,
      });
      await expect(buildImage(options({ name: "second", recipeFile }))).rejects.toMatchObject({
        code: "image-build-busy",
      });
      child.kill("SIGKILL");
      await once(child, "exit");
      await poll(async () => ((await leftovers()).every((left) => /^tmp-[^/\0]*$/.test(left)) ? true : undefined), {
        what: "the end of the build's programs",
        timeoutMs: 10_000,
        intervalMs: 100,
      });

      expect(await leftovers()).toHaveLength(1);

      const abort = new AbortController();
      const onProgress = ({ stage }: { stage: string }): void => {
        if (stage === "base-system") abort.abort(new Error("far enough"));
      };
      const next = buildImage(options({ name: "next", recipeFile, onProgress, signal: abort.signal }));
      await expect(next).rejects.toThrow("far enough");
      expect(await leftovers()).toEqual([]);
    });
  },
  2 * MINUTES,
);

const CHILD = `
  const { buildImage } = await import(${JSON.stringify(join(import.meta.dirname, "../../src/image/build.ts"))});
  const { dataPaths } = await import(${JSON.stringify(join(import.meta.dirname, "../../src/lib/paths.ts"))});
  const options = JSON.parse(process.argv[1]);
  const onProgress = ({ stage }) => stage === "base-system" && console.log(stage);
  await buildImage({ ...options, paths: dataPaths(options.paths.root), onProgress });
`;

const flipByte = async (path: string, position: number): Promise<void> => {
  const file = await open(path, "r+");
  try {
    const byte = Buffer.alloc(1);
    await file.read(byte, 0, 1, position);
    await file.write(Buffer.from([(byte[0] ?? 0) ^ 1]), 0, 1, position);
  } finally {
    await file.close();
  }
};
