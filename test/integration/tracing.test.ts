/** A boot as OpenTelemetry spans, at a collector that reads them as the specification has them. */
import { createServer, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { afterEach, beforeEach, expect, test } from "vitest";
import { z } from "zod";
import { BOOT_STAGES } from "../../src/contract/session.ts";
import { poll } from "../../src/lib/wait.ts";
import { startController } from "../fixtures/controller.ts";

const attributes = z.array(z.strictObject({ key: z.string(), value: z.strictObject({ stringValue: z.string() }) }));
const nanoseconds = z.string().regex(/^\d{19}$/);

/** opentelemetry-proto: ExportTraceServiceRequest, in JSON. */
const exportRequest = z.strictObject({
  resourceSpans: z.array(
    z.strictObject({
      resource: z.strictObject({ attributes }),
      scopeSpans: z.array(
        z.strictObject({
          scope: z.strictObject({ name: z.string(), version: z.string() }),
          spans: z.array(
            z.strictObject({
              traceId: z.string().regex(/^[0-9a-f]{32}$/),
              spanId: z.string().regex(/^[0-9a-f]{16}$/),
              parentSpanId: z
                .string()
                .regex(/^[0-9a-f]{16}$/)
                .optional(),
              name: z.string().min(1),
              kind: z.int().min(1).max(5),
              startTimeUnixNano: nanoseconds,
              endTimeUnixNano: nanoseconds,
              attributes,
              status: z.strictObject({ code: z.int().min(0).max(2), message: z.string() }).optional(),
            }),
          ),
        }),
      ),
    }),
  ),
});
type Request = z.infer<typeof exportRequest>;

let collector: Server;
let endpoint: string;
let received: { path: string; type: string | undefined; body: Request }[];
let status: number;
beforeEach(async () => {
  received = [];
  status = 200;
  collector = createServer((request, response) => {
    let text = "";
    request.on("data", (chunk) => (text += String(chunk)));
    request.on("end", () => {
      const body = exportRequest.parse(JSON.parse(text));
      received.push({ path: request.url ?? "", type: request.headers["content-type"], body });
      response.writeHead(status, { "content-type": "application/json" }).end("{}");
    });
  });
  await new Promise<void>((resolve) => collector.listen(0, "127.0.0.1", resolve));
  endpoint = `http://127.0.0.1:${(collector.address() as AddressInfo).port}`;
});
afterEach(async () => {
  collector.closeAllConnections();
  await new Promise((resolve) => collector.close(resolve));
});

const arrived = () => poll(async () => received[0], { what: "the spans", timeoutMs: 15_000, intervalMs: 50 });
const spansOf = ({ body }: { body: Request }) => body.resourceSpans.flatMap((one) => one.scopeSpans[0]?.spans ?? []);
const iso = (nanos: string): string => new Date(Number(BigInt(nanos) / 1_000_000n)).toISOString();

test("a boot is one trace: the whole, and below it each stage as the session has it", async () => {
  const controller = await startController({ config: { telemetry: { otlpEndpoint: endpoint } } });
  const { sessionId } = await controller.client.start({ provider: "oidc" });
  for await (const view of controller.client.events(sessionId)) if (view.state === "ready") break;
  const sent = await arrived();
  const { stages, createdAt, vmId } = await controller.client.session(sessionId);
  await controller.dispose();

  expect(sent).toMatchObject({ path: "/v1/traces", type: "application/json" });
  expect(sent.body.resourceSpans[0]?.resource.attributes).toContainEqual({
    key: "service.name",
    value: { stringValue: "sallyport" },
  });
  const [root, ...below] = spansOf(sent);
  expect([root?.name, root?.parentSpanId, root?.status]).toEqual(["boot", undefined, undefined]);
  expect(iso(root?.startTimeUnixNano ?? "0")).toBe(createdAt);
  expect(root?.attributes).toContainEqual({ key: "sallyport.vm", value: { stringValue: vmId } });
  expect(below.map(({ name }) => name)).toEqual(BOOT_STAGES);
  expect(
    below.map((span) => ({
      stage: span.name,
      startedAt: iso(span.startTimeUnixNano),
      endedAt: iso(span.endTimeUnixNano),
      source: span.attributes[0]?.value.stringValue,
      ...(span.attributes[1] ? { note: span.attributes[1].value.stringValue } : {}),
    })),
  ).toEqual(stages);
  expect(new Set(below.map(({ traceId, parentSpanId }) => `${traceId}/${parentSpanId}`))).toEqual(
    new Set([`${root?.traceId}/${root?.spanId}`]),
  );
  expect(new Set(below.map(({ spanId }) => spanId)).size).toBe(8);
  expect(received).toHaveLength(1);
});

test("a boot that fails: the stage that was missed carries the verdict", async () => {
  const controller = await startController({
    config: { telemetry: { otlpEndpoint: `${endpoint}/` }, session: { unreachableSec: 5 } },
    behaviour: () => ({ hasNoAddress: true }),
  });
  const { sessionId } = await controller.client.start({ provider: "oidc" });
  const spans = spansOf(await arrived());
  const { verdict } = await controller.client.session(sessionId);
  await controller.dispose();
  expect(spans.map(({ name }) => name)).toEqual(["boot", "leased", "vmm-up", "kernel", "agent", "addressed"]);
  for (const name of ["boot", "addressed"]) {
    expect(spans.find((span) => span.name === name)?.status).toEqual({ code: 2, message: verdict?.sentence });
  }
  expect(spans.find(({ name }) => name === "agent")?.status).toBeUndefined();
});

test("a collector that refuses costs a line in the log and nothing else", async () => {
  status = 503;
  const controller = await startController({ config: { telemetry: { otlpEndpoint: endpoint } } });
  const { sessionId } = await controller.client.start({ provider: "oidc" });
  for await (const view of controller.client.events(sessionId)) if (view.state === "ready") break;
  await arrived();
  await controller.dispose();
  expect(controller.log()).toMatch(/HTTP 503.*the collector did not take the spans/);
});
