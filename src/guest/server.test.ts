import { describe, expect, test } from "vitest";
import { MAX_LINE_BYTES, rpcResponse } from "../contract/guest.ts";
import { AppError } from "../lib/errors.ts";
import { createRpcServer, type Handlers } from "./server.ts";

const refuse = async (): Promise<never> => {
  throw new AppError("conflict", "not-here", "Not in this test.", { hint: "Ask another." });
};

const ask = async (request: unknown, overrides: Partial<Handlers> = {}) => {
  const sent: string[] = [];
  const names = [
    "hello",
    "configure",
    "health",
    "open",
    "listen",
    "collect",
    "answer",
    "facts",
    "units",
    "journal",
  ] as const;
  const handlers = { ...Object.fromEntries(names.map((name) => [name, refuse])), ...overrides } as Handlers;
  const server = createRpcServer({ handlers, send: (line) => sent.push(line), log: () => {} });
  await server.handleLine(typeof request === "string" ? request : JSON.stringify(request));
  return sent.map((line) => rpcResponse.parse(JSON.parse(line)));
};

const request = (method: string, params: unknown = {}, id = 7) => ({ jsonrpc: "2.0", id, method, params });

describe("rpc server", () => {
  test("answers with what the method's handler says", async () => {
    const answers = await ask(request("collect", { waitMs: 5 }), { collect: async () => ({ caught: null }) });
    expect(answers).toEqual([{ jsonrpc: "2.0", id: 7, result: { caught: null } }]);
  });

  test.each([
    ["nosuch", {}, -32601],
    ["constructor", {}, -32601],
    ["listen", { port: 80, path: "/" }, -32602],
    ["listen", { port: 8976, path: "/", extra: 1 }, -32602],
    ["open", {}, -32602],
    ["open", null, -32602],
  ])("refuses %s %j with code %i", async (method, params, code) => {
    expect(await ask(request(method, params))).toMatchObject([{ id: 7, error: { code } }]);
  });

  test("passes on the sentence of a refusal, with its hint", async () => {
    const error = { code: -32000, message: "Not in this test. Ask another." };
    expect(await ask(request("health"))).toEqual([{ jsonrpc: "2.0", id: 7, error }]);
  });

  test("turns a bug of a handler into an answer", async () => {
    const health = async (): Promise<never> => {
      throw new TypeError("x is not a function");
    };
    expect(await ask(request("health"), { health })).toMatchObject([{ error: { code: -32603 } }]);
  });

  test("says so when an answer would be longer than a line", async () => {
    const journal = async () => ({ text: "a".repeat(MAX_LINE_BYTES) });
    expect(await ask(request("journal", { lines: 1, units: [] }), { journal })).toMatchObject([
      { error: { code: -32603 } },
    ]);
  });

  test("refuses what is asked beyond 32 at once, and answers again when one of them is done", async () => {
    const sent: string[] = [];
    const open: (() => void)[] = [];
    const collect = () => new Promise<{ caught: null }>((resolve) => open.push(() => resolve({ caught: null })));
    const handlers = { collect } as unknown as Handlers;
    const server = createRpcServer({ handlers, send: (line) => sent.push(line), log: () => {} });
    const answers = () => sent.map((line) => rpcResponse.parse(JSON.parse(line)));
    const call = (id: number) => server.handleLine(JSON.stringify(request("collect", { waitMs: 5 }, id)));
    const first = Array.from({ length: 32 }, (_, id) => call(id));
    void call(32);
    expect(open).toHaveLength(32);
    expect(answers()).toEqual([
      { jsonrpc: "2.0", id: 32, error: { code: -32000, message: "Too many requests at once." } },
    ]);
    open[0]?.();
    await first[0];
    void call(33);
    expect(open).toHaveLength(33);
    for (const end of open) end();
    await Promise.all(first);
  });

  test.each(["", "{", "null", "[]", "[1,2]", '{"id":1}', '{"jsonrpc":"2.0","id":"1","method":"health","params":{}}'])(
    "says nothing to %j",
    async (line) => {
      expect(await ask(line)).toEqual([]);
    },
  );
});
