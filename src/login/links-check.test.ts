import { describe, expect, test } from "vitest";
import type { StartResponse } from "../contract/api.ts";
import { checkLinks } from "./links-check.ts";

const PUBLIC_URL = "https://sally.example.org";
const self = `${PUBLIC_URL}/api/auth/session/ses_1`;
const good: StartResponse = {
  success: true,
  sessionId: "ses_1",
  provider: "oidc",
  userId: "ann",
  novncURL: `${self}/novnc`,
  browserIP: "192.168.100.2",
  pairingCode: "ABCD-EFGH",
  expiresAt: "2026-01-01T00:15:00.000Z",
  links: { self, events: self, novnc: self, credentials: self, receipt: self },
};

describe("checkLinks", () => {
  test("the controller's own links pass, with a path and a slash or without", () => {
    expect(() => checkLinks(good, PUBLIC_URL)).not.toThrow();
    expect(() => checkLinks(good, `${PUBLIC_URL}/`)).not.toThrow();
  });

  test.each([
    "https://evil.test/x",
    "http://sally.example.org/x",
    "https://sally.example.org:444/x",
    "/x",
    "javascript:1",
  ])("%s is refused in every place", (link) => {
    expect(() => checkLinks({ ...good, novncURL: link }, PUBLIC_URL)).toThrow(/leads to/);
    for (const name of Object.keys(good.links)) {
      const links = { ...good.links, [name]: link };
      expect(() => checkLinks({ ...good, links }, PUBLIC_URL), name).toThrow(
        expect.objectContaining({ code: "link-foreign" }),
      );
    }
  });

  test("a user's name before the host is refused, and so is everything where the own address is none", () => {
    expect(() => checkLinks({ ...good, novncURL: "https://sally.example.org@evil.test/" }, PUBLIC_URL)).toThrow(
      /leads to/,
    );
    expect(() => checkLinks({ ...good, novncURL: "https://ann@sally.example.org/" }, PUBLIC_URL)).toThrow(/leads to/);
    expect(() => checkLinks(good, "nonsense")).toThrow(/leads to/);
  });
});
