/** A controller with real guests, as the tests that boot have it; with an image of its own name, which no other checkout moves. */
import { buildImage } from "../../src/image/build.ts";
import { dataPaths } from "../../src/lib/paths.ts";
import { poll } from "../../src/lib/wait.ts";
import { createBootHost, type BootHost } from "../boot/host.ts";
import { tellImage } from "../cache.ts";
import type { BenchContext } from "./bench.ts";

const NAME = "bench";
export const IMAGE = "bench";
/** Where the controller and its guests' bridge are. */
export const NAMESPACE = `sallyport-${NAME}-host`;

const WARM_TIMEOUT_MS = 20 * 60_000;

type Use<T> = (host: BootHost, namespace: string) => Promise<T>;

export const withHost = async <T>(context: BenchContext, isWarm: boolean, use: Use<T>): Promise<T> => {
  const { backend, cacheDir, say, signal } = context;
  await buildImage({ name: IMAGE, paths: dataPaths(cacheDir), onProgress: tellImage(say), signal });
  const host = await createBootHost(NAME, cacheDir, { image: IMAGE, vmm: { backend }, isWarm });
  try {
    return await use(host, NAMESPACE);
  } finally {
    await host.destroy();
  }
};

/** As `withHost`; there is a warm snapshot. */
export const withWarmHost = <T>(context: BenchContext, use: Use<T>): Promise<T> =>
  withHost(context, true, async (host, namespace) => {
    context.say("  making the warm snapshot");
    await host.client.makeWarm();
    const isWarm = async (): Promise<true | undefined> => {
      const { snapshot, doing, failure } = await host.client.warm();
      if (failure !== null && doing === null) throw new Error(`the warm snapshot could not be made: ${failure}`);
      return (snapshot !== null && doing === null) || undefined;
    };
    const what = "the warm snapshot";
    await poll(isWarm, { what, timeoutMs: WARM_TIMEOUT_MS, intervalMs: 1_000, signal: context.signal });
    return use(host, namespace);
  });
