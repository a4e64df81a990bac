import { createHash } from "node:crypto";
import { describe, expect, test } from "vitest";
import type { SealingContext } from "../contract/guest.ts";
import { createRecipient, keyFingerprint, keyThumbprint, sealTo, sealingAad } from "./sealing.ts";

const contextFor = (publicKey: string, change: Partial<SealingContext> = {}): SealingContext => ({
  sessionId: "ses_1",
  provider: "oidc",
  userId: "ada",
  keyThumbprint: keyThumbprint(publicKey),
  expiresAt: "2026-11-22T12:00:00.000Z",
  ...change,
});

const bytes = (text: string): Uint8Array => new TextEncoder().encode(text);
const text = (data: Uint8Array): string => new TextDecoder().decode(data);
const flipBit = (base64: string, index: number): string => {
  const data = Buffer.from(base64, "base64");
  data.writeUInt8(data.readUInt8(index) ^ 1, index);
  return data.toString("base64");
};

const box = async () => {
  const recipient = await createRecipient();
  const context = contextFor(recipient.publicKey);
  return { recipient, context, box: await sealTo(recipient.publicKey, context, bytes("GET /?code=1")) };
};

describe("a sealed box", () => {
  test("opens for its recipient, and the answer comes back", async () => {
    const { recipient, context, box: made } = await box();
    const opened = await recipient.open(made.sealed, context);
    expect(text(opened.plaintext)).toBe("GET /?code=1");
    expect(text(await made.openAnswer(await opened.sealAnswer(bytes("200 done"))))).toBe("200 done");
  });

  test("holds an empty message and an empty answer", async () => {
    const recipient = await createRecipient();
    const context = contextFor(recipient.publicKey);
    const made = await sealTo(recipient.publicKey, context, new Uint8Array());
    const opened = await recipient.open(made.sealed, context);
    expect(opened.plaintext.length).toBe(0);
    expect((await made.openAnswer(await opened.sealAnswer(new Uint8Array()))).length).toBe(0);
  });

  test.each(["sessionId", "provider", "userId", "expiresAt"] as const)("is refused with another %s", async (field) => {
    const { recipient, context, box: made } = await box();
    const opening = recipient.open(made.sealed, { ...context, [field]: `${context[field]}x` });
    await expect(opening).rejects.toMatchObject({ code: "box-refused" });
  });

  test("is refused with another key thumbprint, on either side", async () => {
    const { recipient, context, box: made } = await box();
    const other = { ...context, keyThumbprint: keyThumbprint((await createRecipient()).publicKey) };
    await expect(recipient.open(made.sealed, other)).rejects.toMatchObject({ code: "key-mismatch" });
    await expect(sealTo(recipient.publicKey, other, bytes("x"))).rejects.toMatchObject({ code: "key-mismatch" });
  });

  test("has a key of the kernel's making, not of a generator that a copied process shares with its copies", async () => {
    const recipient = await createRecipient();
    Reflect.set(crypto.subtle, "generateKey", () => Promise.reject(new Error("the process's own generator was asked")));
    try {
      await sealTo(recipient.publicKey, contextFor(recipient.publicKey), bytes("x"));
    } finally {
      Reflect.deleteProperty(crypto.subtle, "generateKey");
    }
  });

  test("does not open for another recipient", async () => {
    const { box: made } = await box();
    const other = await createRecipient();
    const opening = other.open(made.sealed, contextFor(other.publicKey));
    await expect(opening).rejects.toMatchObject({ code: "box-refused" });
  });

  test("is refused when one bit was changed anywhere", async () => {
    const { recipient, context, box: made } = await box();
    const { enc, ciphertext } = made.sealed;
    const changed = [
      { enc: flipBit(enc, 0), ciphertext },
      { enc, ciphertext: flipBit(ciphertext, 0) },
      { enc, ciphertext: flipBit(ciphertext, Buffer.from(ciphertext, "base64").length - 1) },
      { enc, ciphertext: "" },
      { enc: "", ciphertext },
    ];
    for (const sealed of changed) {
      await expect(recipient.open(sealed, context)).rejects.toMatchObject({ code: "box-refused" });
    }
  });

  test.each(["", "AAAA", Buffer.alloc(32).toString("base64")])("cannot be made for the key %j", async (key) => {
    await expect(sealTo(key, contextFor(key), bytes("x"))).rejects.toMatchObject({ code: "recipient-key-invalid" });
  });
});

describe("a sealed answer", () => {
  test("is refused by another box of the same session", async () => {
    const { recipient, context, box: first } = await box();
    const second = await sealTo(recipient.publicKey, context, bytes("GET /?code=1"));
    const answer = await (await recipient.open(first.sealed, context)).sealAnswer(bytes("200"));
    await expect(second.openAnswer(answer)).rejects.toMatchObject({ code: "answer-refused" });
    expect(text(await first.openAnswer(answer))).toBe("200");
  });

  test("is refused when changed or cut", async () => {
    const { recipient, context, box: made } = await box();
    const answer = await (await recipient.open(made.sealed, context)).sealAnswer(bytes("200"));
    const length = Buffer.from(answer, "base64").length;
    const cut = Buffer.from(answer, "base64").subarray(0, -1).toString("base64");
    for (const bad of [flipBit(answer, 0), flipBit(answer, 32), flipBit(answer, length - 1), cut, "AAAA", ""]) {
      await expect(made.openAnswer(bad)).rejects.toMatchObject({ code: "answer-refused" });
    }
  });

  test("never looks the same twice", async () => {
    const { recipient, context, box: made } = await box();
    const opened = await recipient.open(made.sealed, context);
    expect(await opened.sealAnswer(bytes("200"))).not.toBe(await opened.sealAnswer(bytes("200")));
  });
});

describe("names of a key", () => {
  test("are made from its digest", () => {
    const key = Buffer.alloc(32, 7);
    const hex = createHash("sha256").update(key).digest("hex");
    expect(keyThumbprint(key.toString("base64"))).toBe(Buffer.from(hex, "hex").toString("base64url"));
    expect(keyFingerprint(key.toString("base64")).replaceAll(" ", "")).toBe(hex.slice(0, 16));
    expect(keyFingerprint(key.toString("base64"))).toMatch(/^([0-9a-f]{4} ){3}[0-9a-f]{4}$/);
  });
});

describe("associated data", () => {
  test("does not depend on the order of the fields", () => {
    const { userId, ...rest } = contextFor("AAAA");
    expect(sealingAad({ userId, ...rest })).toEqual(sealingAad({ ...rest, userId }));
  });

  test("tells fields apart that run together", () => {
    const one = contextFor("AAAA", { provider: 'a","b', userId: "c" });
    const two = contextFor("AAAA", { provider: "a", userId: 'b","c' });
    expect(sealingAad(one)).not.toEqual(sealingAad(two));
  });
});
