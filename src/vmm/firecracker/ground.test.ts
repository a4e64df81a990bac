import { existsSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, onTestFinished, test } from "vitest";
import { missingRights, requireGround } from "./ground.ts";

test.skipIf(!existsSync("/dev/shm"))(
  "folders on two mounts are refused by name, also before they are there",
  async () => {
    const folder = mkdtempSync(join(tmpdir(), "sp-ground-"));
    onTestFinished(() => rmSync(folder, { recursive: true }));
    await expect(requireGround("/dev/shm", join(folder, "vms/abc"))).rejects.toMatchObject({
      code: "images-elsewhere",
      message: expect.stringMatching(/\/dev\/shm \(mounted at \/dev\/shm\) and .*\/vms\/abc \(at \/.*not on one mount/),
      hint: expect.stringContaining("on one file system"),
    });
  },
);

test("rights that no process here can have are named", () => {
  expect(missingRights("CapEff:\t0\nCapBnd:\t000001ffffffffff\n")).toEqual([]);
  // A service with PrivateDevices=yes: all but CAP_MKNOD and CAP_SYS_RAWIO.
  expect(missingRights("CapBnd:\t000001fff7fdffff\nCapAmb:\t0\n")).toEqual(["CAP_MKNOD"]);
  // What a container gets by itself.
  expect(missingRights("CapBnd:\t00000000a80425fb\n")).toEqual(["CAP_SYS_ADMIN"]);
});
