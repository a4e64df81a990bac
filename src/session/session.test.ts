import { describe, expect, test } from "vitest";
import { sessionState } from "../contract/session.ts";
import { canTransition, isOver } from "./session.ts";

describe("session states", () => {
  test("the road of a sign-in", () => {
    const road = ["requested", "starting", "ready", "active", "completing", "destroyed"] as const;
    for (let i = 1; i < road.length; i++) expect(canTransition(road[i - 1]!, road[i]!)).toBe(true);
  });

  test("no state leads back, and nothing follows an end", () => {
    const order = sessionState.options;
    for (const from of order) {
      for (const to of order) {
        if (canTransition(from, to)) expect(order.indexOf(to)).toBeGreaterThan(order.indexOf(from));
      }
    }
    expect(order.filter(isOver)).toEqual(["failed", "destroyed", "lost"]);
  });

  test("every live state can fail and can be lost", () => {
    for (const state of sessionState.options.filter((one) => !isOver(one))) {
      expect(canTransition(state, "failed")).toBe(true);
      expect(canTransition(state, "lost")).toBe(true);
    }
  });
});
