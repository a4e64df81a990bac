import { expect, test } from "vitest";
import type { CaughtRequest } from "../contract/guest.ts";
import { checkCaught } from "./caught-check.ts";

const callback = { port: 8976, path: "/oauth/callback" };
const caught: CaughtRequest = {
  method: "GET",
  target: "/oauth/callback?code=1",
  rawHeaders: ["Host", "localhost:8976", "Accept", "*/*"],
  body: "",
};
const withHeaders = (...rawHeaders: string[]): CaughtRequest => ({ ...caught, rawHeaders });

test.each<[string, CaughtRequest]>([
  ["a redirect", caught],
  [
    "a form post",
    { ...caught, method: "POST", rawHeaders: ["host", "127.0.0.1:8976", "Content-Length", "3"], body: "a=1" },
  ],
])("%s passes", (_name, request) => {
  expect(() => checkCaught(request, callback)).not.toThrow();
});

test.each<[string, CaughtRequest]>([
  ["another method", { ...caught, method: "DELETE" }],
  ["CONNECT", { ...caught, method: "CONNECT" }],
  ["another path", { ...caught, target: "/admin?code=1" }],
  ["an absolute target", { ...caught, target: "http://127.0.0.1:22/oauth/callback" }],
  ["another host", withHeaders("Host", "printer.local")],
  ["no host", withHeaders()],
  ["two hosts", withHeaders("Host", "localhost:8976", "host", "evil.test")],
  [
    "a request in the body",
    { ...withHeaders("Host", "localhost:8976", "Content-Length", "0"), body: "GET / HTTP/1.1" },
  ],
  [
    "two lengths, of which one is the body's",
    { ...withHeaders("Host", "localhost:8976", "Content-Length", "3", "content-length", "0"), body: "a=1" },
  ],
  ...["Transfer-Encoding", "Upgrade", "Trailer", "TE", "Expect", "Proxy-Authorization"].map(
    (name): [string, CaughtRequest] => [`the header ${name}`, withHeaders("Host", "localhost:8976", name, "x")],
  ),
])("%s is refused", (_name, request) => {
  expect(() => checkCaught(request, callback)).toThrow(expect.objectContaining({ code: "callback-refused" }));
});
