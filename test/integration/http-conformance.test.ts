import { CAUGHT, httpConformance } from "../conformance/http.ts";
import { startController } from "../fixtures/controller.ts";

httpConformance("a controller with a fake machine", async () => {
  const { url, adminKey, dispose } = await startController({ behaviour: () => ({ caught: CAUGHT }) });
  return { url, key: adminKey, publicUrl: "https://viewer.test", close: dispose };
});
