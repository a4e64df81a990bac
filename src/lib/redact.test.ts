import { expect, test } from "vitest";
import { redactText, redactValue } from "./redact.ts";

test.each([
  ["https://login.example/cb?code=TOPSECRET&state=x next", "https://login.example/cb?[cut] next"],
  ["https://login.example/cb#access_token=TOPSECRET", "https://login.example/cb?[cut]"],
  ["https://login.example/?TOPSECRET", "https://login.example/?[cut]"],
  ["https://ann:TOPSECRET@login.example/a", "https://[cut]@login.example/a"],
  ['GET /callback?code=TOPSECRET HTTP/1.1" 200', 'GET /callback?[cut] HTTP/1.1" 200'],
  ["https://a/?x=\u001b[31mTOPSECRET", "https://a/?[cut]"],
  ['{"access_token": "TOPSECRET", "x": 1}', '{"access_token": "[cut]", "x": 1}'],
  ["client_secret=TOPSECRET&y=2", "client_secret=[cut]&y=2"],
  ['"id_token" :\n            "TOPSECRET"', '"id_token" :\n            "[cut]"'],
  ["authorization: Bearer\n          TOPSECRET", "authorization: Bearer [cut]"],
  ["authorization: Bearer TOPSECRET.x", "authorization: Bearer [cut]"],
  ["got eyJhbGciOiJub25lIn0.eyJzdWIiOiJUT1BTRUNSRVQifQ.abc here", "got [cut] here"],
  [
    "[sallyport: at least 12 bytes cut out here]\nTOPSECRET&state=y rest",
    "[sallyport: at least 12 bytes cut out here]\n[cut] rest",
  ],
])("%s", (text, redacted) => {
  expect(redactText(text)).toBe(redacted);
});

test.each([
  "systemd[1]: sallyport-agent.service: Main process exited, code=exited, status=203/EXEC",
  "root=/dev/vda ip=192.168.100.2::192.168.100.1:255.255.255.0::eth0:off",
  "http://192.168.100.2:8080/health: ECONNREFUSED",
  "Is the controller running? Start it with: sallyport up",
])("leaves alone: %s", (text) => {
  expect(redactText(text)).toBe(text);
});

test("every string of a value, at any depth", () => {
  expect(redactValue({ a: ["http://x/?q=1", 2, null], b: { c: "ok" } })).toEqual({
    a: ["http://x/?[cut]", 2, null],
    b: { c: "ok" },
  });
});

test.each([
  "a.",
  "a-",
  "a+",
  "eyJ-",
  "eyJaaaaaaaa-",
  "a://",
  "a://a@",
  "?",
  "?a",
  "Bearer ",
  "password=",
  "password ",
  "sally_a",
  ":",
])("a MiB of %s is read in time", (unit) => {
  const text = unit.repeat(Math.ceil(2 ** 20 / unit.length));
  const startedAt = performance.now();
  redactText(text);
  // Quadratic, it takes many minutes; this is no measure of how fast it is.
  expect(performance.now() - startedAt).toBeLessThan(10_000);
});
