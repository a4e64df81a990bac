import type { Command } from "commander";
import { makeWarmSnapshot } from "../../client/warm-snapshot.ts";
import { buildImage, type BuildImageResult } from "../../image/build.ts";
import { createSnapshotStore } from "../../image/snapshots.ts";
import { createImageStore, type Image } from "../../image/store.ts";
import { AppError } from "../../lib/errors.ts";
import { dataPaths } from "../../lib/paths.ts";
import type { CliContext } from "../context.ts";
import { duration, mebibytes, table } from "../output.ts";

interface BuildCommandOptions {
  recipe?: string;
  name?: string;
  mirror?: string;
}

export const addImage = (program: Command, context: CliContext): void => {
  const image = program.command("image").description("the guest's image on this machine");
  image
    .command("build")
    .description("build an image, or find the one that the same recipe made before")
    .option("--recipe <file>", "YAML or JSON; default: the built-in recipe")
    .option("--name <name>", "name to build it under; default: the one that sessions use")
    .option("--mirror <uri>", "Debian archive to build from; default: this machine's own")
    .action((options: BuildCommandOptions) => build(options, context));
  image
    .command("ls")
    .description("list images")
    .action(async () => {
      const images = await withWarm(await store(context).list(), context);
      context.out.result(images, () =>
        table(
          ["NAME", "BASE", "BUILT", "SIZE", "WARM SNAPSHOT", "DIGEST"],
          images.map(({ name, base, builtAt, bytes, digest, warm: snapshot }) => [
            name,
            base,
            builtAt,
            mebibytes(bytes),
            snapshot ? wordsFor(snapshot) : "-",
            digest,
          ]),
          "No images. Build one: sallyport image build",
        ),
      );
    });
  image
    .command("warm")
    .description("make the warm snapshot that sessions start from, now (needs the controller)")
    .action(() => warm(context));
  image
    .command("verify [name]")
    .description("compute an image's checksums anew")
    .action((name: string | undefined) => verify(name, context));
};

const store = (context: CliContext) => createImageStore(dataPaths(context.config().dataDir));

interface WarmOfImage {
  madeAt: string;
  coldMs: number;
  vmm: string;
  /** On disk. */
  bytes: number;
}

/** Each with its newest warm snapshot, whether or not a session would start from it now: doctor knows that. */
const withWarm = async (images: Image[], context: CliContext): Promise<(Image & { warm: WarmOfImage | null })[]> => {
  const snapshots = createSnapshotStore(dataPaths(context.config().dataDir));
  // Another user than root may see the images, and none of these; what is wrong with the folder doctor tells.
  const all = await snapshots.list().catch(() => []);
  return Promise.all(
    images.map(async (one) => {
      const found = all.find(({ inputs }) => inputs.imageDigest === one.digest);
      if (!found) return { ...one, warm: null };
      const { madeAt, coldMs, inputs } = found;
      return {
        ...one,
        warm: { madeAt, coldMs, vmm: inputs.ground["vmm"] ?? "", bytes: await snapshots.bytesOf(found) },
      };
    }),
  );
};

const wordsFor = ({ madeAt, coldMs, vmm, bytes }: WarmOfImage): string =>
  `${duration(Date.now() - Date.parse(madeAt))} old, ${mebibytes(bytes)}, ${vmm}, cold ${duration(coldMs)}`;

const build = async (options: BuildCommandOptions, context: CliContext): Promise<void> => {
  const config = context.config();
  const result = await buildImage({
    name: options.name ?? config.image,
    paths: dataPaths(config.dataDir),
    ...(options.recipe === undefined ? {} : { recipeFile: options.recipe }),
    ...(options.mirror === undefined ? {} : { mirror: options.mirror }),
    onProgress: ({ stage, message, elapsedMs }) =>
      context.out.note(`${duration(elapsedMs).padStart(8)}  ${stage.padEnd(14)}${message}`),
    signal: context.signal,
  });
  context.out.result({ ok: true, ...result }, () => outcome(result));
};

const outcome = ({ image, wasBuilt, stages }: BuildImageResult): string => {
  const total = duration(stages.reduce((sum, { ms }) => sum + ms, 0));
  const size = mebibytes(image.bytes);
  return wasBuilt
    ? `Built ${image.name} (${image.base}, ${size}) in ${total}: ${image.digest}`
    : `${image.name} is up to date (${image.base}, ${size}, built ${image.builtAt}): ${image.digest}`;
};

const warm = async (context: CliContext): Promise<void> => {
  const snapshot = await makeWarmSnapshot(context.client(), { onDoing: context.out.note, signal: context.signal });
  context.out.result(
    { ok: true, snapshot },
    () =>
      `Sessions start from the warm snapshot of ${snapshot.madeAt}. Cold, its machine took ${duration(snapshot.coldMs)} to its browser.`,
  );
};

const verify = async (name: string | undefined, context: CliContext): Promise<void> => {
  const wanted = name ?? context.config().image;
  const { ok, problems } = await store(context).verify(wanted);
  if (!ok) {
    throw new AppError("unprocessable", "image-damaged", `The image ${wanted} is not what was built.`, {
      fields: problems,
      hint: `Build it again: sallyport image build --name ${wanted}`,
    });
  }
  context.out.result({ ok, problems }, () => `${wanted} is exactly what was built.`);
};
