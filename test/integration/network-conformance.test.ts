/** The network of Linux, in a namespace, and the tests' fake: held to the same. */
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { networkConformance } from "../conformance/network.ts";
import { createFakeHost, createFakeNetwork } from "../fixtures/fake-network.ts";
import { createNamespace, type Namespace } from "../fixtures/namespace.ts";
import {
  BRIDGE,
  connectGuest,
  endResolver,
  GATEWAY,
  type RemoteNetwork,
  startNetwork,
  TABLE,
} from "../fixtures/network-world.ts";

networkConformance("fake", async () => {
  const host = createFakeHost();
  return {
    network: createFakeNetwork(GATEWAY, 24, host),
    restart: async () => createFakeNetwork(GATEWAY, 24, host),
    open: async () => {},
    meddle: async ({ tap, address }) => {
      if (host.taps.has(tap)) host.taps.set(tap, { bridge: null, mac: null });
      host.admitted.delete(address);
      host.neighbours.delete(address);
    },
    dispose: async () => {},
  };
});

networkConformance("Linux", async () => {
  const directory = await mkdtemp(join(tmpdir(), "sallyport-conformance-"));
  const host = await createNamespace("conf");
  const start = (before?: RemoteNetwork) => startNetwork(host, { resolver: { directory, upstream: [] } }, before);
  const network = await start();
  const guests: Namespace[] = [];
  return {
    network,
    restart: () => start(network),
    open: async (nic) => void guests.push((await connectGuest(host, nic, network)).namespace),
    meddle: async ({ tap, address, mac }) => {
      // One that is only prepared is out of reach.
      if ((await host.run("ip", ["-o", "link"])).stdout.includes(tap)) await host.ip(`link set dev ${tap} nomaster`);
      await host.ip(`neigh delete ${address} dev ${BRIDGE}`);
      await host.run("nft", [`delete element inet ${TABLE} guests { ${address} . ${mac} }`]);
    },
    dispose: async () => {
      for (const guest of guests) await guest.remove();
      await endResolver(directory);
      await host.remove();
      await rm(directory, { recursive: true });
    },
  };
});
