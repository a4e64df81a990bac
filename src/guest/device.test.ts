import { mkdir, mkdtemp, readdir, rm, symlink, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { openDevice } from "./device.ts";

let root: string;

beforeEach(async () => void (root = await mkdtemp(join(tmpdir(), "device-"))));
afterEach(() => rm(root, { recursive: true }));

const put = async (name: string, content: string): Promise<void> => {
  await mkdir(join(root, name, ".."), { recursive: true });
  await writeFile(join(root, name), content);
};

const open = () => {
  const options = { root, portPath: join(root, "port"), socketPath: join(root, "run/channel.sock"), log: () => {} };
  return openDevice(options, { onBytes: () => {}, onBreak: () => {} });
};

test("the way to the host is a socket where the machine has a vsock device, once its driver is there", async () => {
  await put("sys/bus/virtio/devices/virtio0/device", "0x0002\n");
  await put("sys/bus/virtio/devices/virtio1/device", "0x0013\n");
  await expect(open()).rejects.toThrow("the vsock device virtio1 has no driver");
  await symlink("../../drivers/vmw_vsock_virtio_transport", join(root, "sys/bus/virtio/devices/virtio1/driver"));
  const device = await open();
  expect(await readdir(join(root, "run"))).toEqual(["channel.sock"]);
  await device.close();
});

test("and the port elsewhere, also while udev has not named it: nothing listens instead", async () => {
  await put("sys/bus/virtio/devices/virtio0/device", "0x0003\n");
  await expect(open()).rejects.toMatchObject({ code: "ENOENT" });
  expect(await readdir(root)).toEqual(["sys"]);
  await put("port", "");
  await (await open()).close();
  expect(await readdir(root)).toEqual(["port", "sys"]);
});
