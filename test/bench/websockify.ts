/** Debian's websockify, unpacked beside the tests' images and not installed: its package comes by the machine's own apt. */
import { access, mkdir } from "node:fs/promises";
import { join } from "node:path";
import { run } from "../../src/lib/exec.ts";

/**
 * Command line before its own arguments. Numpy, which its package wants as well, is left out: it unmasks what a viewer sends, a few bytes.
 * Throws where apt has none.
 */
export const websockify = async (cacheDir: string): Promise<string[]> => {
  const folder = join(cacheDir, "websockify");
  const library = join(folder, "usr/lib/python3/dist-packages");
  const isThere = await access(join(library, "websockify")).then(
    () => true,
    () => false,
  );
  if (!isThere) {
    await mkdir(folder, { recursive: true });
    await run("apt-get", ["download", "python3-websockify"], { cwd: folder, timeoutMs: 120_000 });
    const { stdout } = await run("find", [folder, "-name", "*.deb"]);
    await run("dpkg-deb", ["--extract", stdout.trim(), folder]);
  }
  return ["env", `PYTHONPATH=${library}`, "python3", "-m", "websockify"];
};
