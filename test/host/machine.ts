/** The test host: a machine of our own image, emulated, so that it has a KVM that works wherever this one's does not. */
import { spawn } from "node:child_process";
import { createHash } from "node:crypto";
import { once } from "node:events";
import { mkdir, readFile, rm, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import type { Image } from "../../src/image/store.ts";
import { AppError } from "../../src/lib/errors.ts";
import { SYSTEM_PATH } from "../../src/lib/programs.ts";
import { unlessMissing } from "../../src/lib/unless-missing.ts";
import { kernelCommandLine, machineArguments, QEMU, type Accelerator } from "../../src/vmm/qemu/arguments.ts";
import { hostTscKhz } from "../../src/vmm/qemu/tsc.ts";
import { takeLock, untilFree } from "./lock.ts";
import { runInHost } from "./port.ts";

/** Commands run at the same time, one on each. */
export const PORTS = [0, 1, 2];

export interface TestHostOptions {
  image: Pick<Image, "vmlinux" | "initrd" | "rootfs">;
  /** Never written: what the host writes vanishes with it. */
  workDisk: string;
  folder: string;
  memoryMib: number;
  /**
   * Its processors take turns on one of this machine's: slow, and sure. Where both really run at the same time (QEMU 11.1.3, two free cores),
   * the kernel that runs KVM in them finds its stack overwritten: three runs of three in which one of two guests was killed.
   */
  takesTurns?: boolean;
  /** The beginning of its command line; default this machine's QEMU. */
  emulator?: string[];
  signal: AbortSignal;
}

export interface TestHost {
  /** Settles when the machine has ended, whoever ended it. */
  ended: Promise<unknown>;
  stop: () => Promise<void>;
}

/** A controller, two microVMs, and the person's browser. */
export const MEMORY_MIB = 6144;
const BOOT_TIMEOUT_MS = 5 * 60_000;
const ANSWER_TIMEOUT_MS = 10_000;
const CONSOLE_TAIL_LINES = 40;

/** Where the host of one checkout has its sockets and its console: nobody but root puts anything below /run. */
export const hostFolderOf = (checkout: string): string =>
  join("/run/sallyport-test-host", createHash("sha256").update(checkout).digest("hex").slice(0, 8));
export const portOf = (folder: string, port: number): string => join(folder, `run.${port}`);
export const consoleOf = (folder: string): string => join(folder, "console.log");
const diskNoteOf = (folder: string): string => join(folder, "work-disk");

/**
 * Boots a host and answers once it takes commands. Throws AppError `test-host-runs` when there is one in this folder, and
 * `test-host-down` with the end of its console.
 */
export const startTestHost = async (options: TestHostOptions): Promise<TestHost> => {
  const { folder, emulator = [QEMU], signal } = options;
  signal.throwIfAborted();
  const argv = hostArguments(options, { kind: "emulation", tscKhz: await hostTscKhz() });
  await mkdir(dirname(folder), { mode: 0o700, recursive: true });
  await using lock = await takeLock(`${folder}.lock`);
  await rm(folder, { recursive: true, force: true });
  await mkdir(folder, { mode: 0o700 });
  // It ends with us, however we end. Its copy on write may grow: not in a RAM disk.
  const env = { PATH: SYSTEM_PATH, TMPDIR: "/var/tmp" };
  const turns = options.takesTurns ? ["taskset", "--cpu-list", "0"] : [];
  const child = spawn("setpriv", ["--pdeathsig", "KILL", ...turns, ...emulator, ...argv], {
    env,
    stdio: ["ignore", 2, 2, lock.fd],
  });
  const ended = once(child, "close");
  ended.catch(() => {});
  const kill = (): void => void child.kill("SIGKILL");
  signal.addEventListener("abort", kill, { once: true });
  const stop = async (): Promise<void> => {
    kill();
    await ended;
    // What emulates it may be a child of the program that was killed, and has gigabytes to give back.
    await lock.close();
    await untilFree(`${folder}.lock`);
  };
  try {
    const died = ended.then(([code, how]) => {
      throw new Error(`${QEMU} ended: ${code ?? how}`);
    });
    await Promise.race([untilItAnswers(folder, AbortSignal.any([signal, AbortSignal.timeout(BOOT_TIMEOUT_MS)])), died]);
    await writeFile(diskNoteOf(folder), options.workDisk);
    return { ended, stop };
  } catch (cause) {
    await stop();
    signal.throwIfAborted();
    const console = await unlessMissing(readFile(consoleOf(folder), "utf8"), "");
    const tail = console.split("\n").slice(-CONSOLE_TAIL_LINES).join("\n");
    throw new AppError(
      "unavailable",
      "test-host-down",
      `The test host did not come up. The end of its console:\n${tail}`,
      {
        cause,
        hint: "On a very busy machine, try again when it is not.",
      },
    );
  }
};

/** Whether a host runs there and takes commands. Throws AppError `test-host-differs` when it does, on another disk than this. */
export const hasTestHost = async (folder: string, workDisk: string): Promise<boolean> => {
  const note = await unlessMissing(readFile(diskNoteOf(folder), "utf8"), undefined);
  if (note === undefined || !(await answers(folder, AbortSignal.timeout(ANSWER_TIMEOUT_MS)))) return false;
  if (note === workDisk) return true;
  throw new AppError("conflict", "test-host-differs", "The test host that runs carries other images or packages.", {
    hint: "End it and start it anew.",
  });
};

const untilItAnswers = async (folder: string, signal: AbortSignal): Promise<void> => {
  while (!(await answers(folder, signal))) await sleep(200, undefined, { signal });
  // It has no clock that keeps time.
  await runInHost(portOf(folder, 0), { command: `date --set=@${Math.ceil(Date.now() / 1000)}`, signal });
};

const answers = (folder: string, signal: AbortSignal): Promise<boolean> =>
  runInHost(portOf(folder, PORTS.length - 1), { command: "true", signal }).then(
    (code) => code === 0,
    () => false,
  );

const hostArguments = (options: TestHostOptions, accelerator: Accelerator): string[] => {
  const { image, workDisk, folder, memoryMib } = options;
  return [
    machineArguments(accelerator, memoryMib),
    ["-smp", "2"],
    ["-kernel", image.vmlinux, "-initrd", image.initrd],
    ["-append", kernelCommandLine({ kernelArgs: [] }, accelerator)],
    ["-blockdev", `driver=file,filename=${image.rootfs},node-name=root,read-only=on,locking=off`],
    ["-device", "virtio-blk-device,drive=root"],
    ["-drive", `if=none,id=work,file=${workDisk},format=raw,snapshot=on,cache=unsafe`],
    ["-device", "virtio-blk-device,drive=work"],
    ["-device", "virtio-serial-device"],
    ...PORTS.flatMap((port) => [
      ["-chardev", `socket,id=run${port},path=${portOf(folder, port)},server=on,wait=off`],
      ["-device", `virtserialport,chardev=run${port},name=run.${port}`],
    ]),
    ["-device", "virtio-rng-device"],
    ["-chardev", `file,id=console,path=${consoleOf(folder)}`, "-serial", "chardev:console"],
  ].flat();
};
