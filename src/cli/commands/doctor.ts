/** Whether this machine can run microVMs, and the command that mends what is missing. Changes nothing. */
import { release } from "node:os";
import type { Command } from "commander";
import type { Config } from "../../config/config.ts";
import { createImageStore } from "../../image/store.ts";
import { AppError, messageOf } from "../../lib/errors.ts";
import { silentLogger } from "../../lib/logger.ts";
import { dataPaths } from "../../lib/paths.ts";
import { findProgram } from "../../lib/programs.ts";
import type { VmmBackend } from "../../vmm/vmm.ts";
import type { CliContext } from "../context.ts";
import { table } from "../output.ts";

/** `slow` works, but is worth knowing. */
type Finding = { name: string; result: "ok" | "slow" | "missing"; text: string; hint?: string };

/** Where Debian keeps what only root's PATH names. */
const SYSTEM_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

const PROGRAMS = [
  { name: "mmdebstrap", package: "mmdebstrap" },
  { name: "mkfs.ext4", package: "e2fsprogs" },
  { name: "ip", package: "iproute2" },
  { name: "nft", package: "nftables" },
  { name: "dnsmasq", package: "dnsmasq-base" },
];

export const addDoctor = (program: Command, context: CliContext): void => {
  program
    .command("doctor")
    .description("check what this machine needs to run microVMs")
    .action(async () => {
      const findings = await examine(context.config(), context.env.path ?? "");
      const isHealthy = findings.every(({ result }) => result !== "missing");
      context.out.result({ ok: isHealthy, findings }, () => report(findings, isHealthy));
      if (!isHealthy) context.exitCode = new AppError("unavailable", "not-ready", "").exitCode;
    });
};

const examine = async (config: Config, path: string): Promise<Finding[]> => {
  const images = createImageStore(dataPaths(config.dataDir));
  const { createQemuBackend } = await import("../../vmm/qemu/backend.ts");
  const vmm = createQemuBackend({
    accel: config.vm.accel,
    vmlinux: async () => (await images.find(config.image))?.vmlinux,
    probeCache: dataPaths(config.dataDir).kvmProbe,
    logger: silentLogger(),
  });
  const programs = PROGRAMS.map((one) => examineProgram(one, `${path}:${SYSTEM_PATH}`));
  const qemu = await finding("qemu", async () => ({ result: "ok", text: await vmm.version() }));
  const image = await finding("image", async () => {
    const found = await images.find(config.image);
    return found
      ? { result: "ok", text: `${found.name}: ${found.base}, built ${found.builtAt}` }
      : { result: "missing", text: `no image named ${config.image}`, hint: "sallyport image build" };
  });
  const kernel: Finding = { name: "kernel", result: "ok", text: release() };
  return [kernel, ...programs, qemu, image, ...(qemu.result === "ok" ? [await examineKvm(vmm)] : [])];
};

const examineProgram = ({ name, package: packageName }: (typeof PROGRAMS)[number], path: string): Finding => {
  const file = findProgram(name, path);
  return file === undefined
    ? { name, result: "missing", text: "not installed", hint: `apt-get install ${packageName}` }
    : { name, result: "ok", text: file };
};

const examineKvm = (vmm: VmmBackend): Promise<Finding> =>
  finding("kvm", async () =>
    (await vmm.capabilities()).hasKvm
      ? { result: "ok", text: "a guest ran with it" }
      : {
          result: "slow",
          text: "not usable here: guests are emulated, ten times slower",
          hint: "Use a machine with hardware virtualisation (bare metal, or nested virtualisation switched on).",
        },
  );

/** A refusal of one part is that part's finding, with its own hint. */
const finding = async (name: string, examinePart: () => Promise<Omit<Finding, "name">>): Promise<Finding> => {
  try {
    return { name, ...(await examinePart()) };
  } catch (error) {
    const hint = error instanceof AppError ? error.hint : undefined;
    return { name, result: "missing", text: messageOf(error), ...(hint === undefined ? {} : { hint }) };
  }
};

const report = (findings: Finding[], isHealthy: boolean): string[] => [
  ...table(
    ["CHECK", "RESULT", "FOUND"],
    findings.map(({ name, result, text }) => [name, result, text]),
  ),
  "",
  ...findings.filter(({ hint }) => hint).map(({ name, hint }) => `${name}: ${hint}`),
  isHealthy ? "This machine can run microVMs." : "This machine cannot run microVMs yet. What to do is above.",
];
