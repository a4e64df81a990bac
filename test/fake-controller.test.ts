import { providerRecipe } from "../src/contract/provider.ts";
import { CAUGHT, httpConformance, ISSUER } from "./conformance/http.ts";
import { KEY, PUBLIC_URL, startFakeController } from "./fixtures/fake-controller.ts";

const recipe = providerRecipe.parse({ name: "oidc", title: "Test", mode: "oidc", issuer: ISSUER, clientId: "test" });

httpConformance("the fake controller", async () => {
  const fake = await startFakeController({ recipe, browse: async () => CAUGHT });
  return { url: fake.url, key: KEY, publicUrl: PUBLIC_URL, close: () => fake.close() };
});
