/** What the conformance tests of VMMs that run real guests have in common: an image, and TAPs in namespaces of their own. */
import { inject } from "vitest";
import { createImageStore, type Image } from "../../src/image/store.ts";
import { dataPaths } from "../../src/lib/paths.ts";
import { takeAway } from "../../src/network/ip.ts";
import { namespaceFile, namespaceOf } from "../../src/network/namespace.ts";
import { ensureTap } from "../../src/network/tap.ts";

/** Whose TAPs and namespaces these are. */
const OWNER = "sallyport test";

export const findImage = async (): Promise<Image> => {
  const dataDir = inject("imageDataDir");
  const image = await createImageStore(dataPaths(dataDir)).find("default");
  if (!image) throw new Error(`There is no image "default" in ${dataDir}: build it with sallyport image build.`);
  return image;
};

/** Answers the namespace's file. */
const makeTap = async (tap: string, uid: number): Promise<string> => {
  await ensureTap({ tap, uid }, OWNER);
  return namespaceFile(namespaceOf(tap, OWNER));
};

/** One that is in its namespace still. */
const removeTap = (tap: string): Promise<void> => takeAway(`netns delete ${namespaceOf(tap, OWNER)}`);

/** What is the same for each. */
export const realMachine = async () => ({ image: await findImage(), uidBase: 54_421, makeTap, removeTap });
