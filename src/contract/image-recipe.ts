/** An image recipe: what differs from the image that is built without one. YAML or JSON, every field optional. */
import { z } from "zod";

const hasCleanSegments = (path: string): boolean =>
  path
    .slice(1)
    .split("/")
    .every((segment) => segment !== "" && segment !== "." && segment !== "..");

const guestPath = z
  .string()
  .max(1024)
  .refine((path) => path.startsWith("/") && !path.includes("\0"), "must be an absolute path")
  .refine(hasCleanSegments, "must not contain empty, `.` or `..` parts");

const file = z
  .strictObject({
    path: guestPath,
    /** Text of the file. */
    content: z.string().optional(),
    /** Path of a file to copy, relative to the recipe. */
    source: z.string().min(1).optional(),
    /** A string, because YAML reads a bare 0755 as the decimal number 755. */
    mode: z
      .string("must be an octal number in quotes, such as '0644'")
      .regex(/^[0-7]{3,4}$/, "must be octal, such as '0644'")
      .default("0644"),
  })
  .refine((f) => (f.content === undefined) !== (f.source === undefined), "needs either `content` or `source`");

export const imageRecipe = z.strictObject({
  /** `ubuntu:<suite>` is accepted, and needs a recipe that brings /usr/bin/firefox-esr: Ubuntu's own package is a snap. */
  base: z
    .string()
    .regex(/^(debian|ubuntu):[a-z][a-z0-9-]{1,30}$/, "must be debian:<suite> or ubuntu:<suite>")
    .default("debian:trixie"),
  /** Debian packages besides the built-in ones. */
  packages: z.array(z.string().regex(/^[a-z0-9][a-z0-9+.-]+$/, "must be a package name")).default([]),
  /** Laid into the image after the packages, owned by root; they win over the built-in files. */
  files: z.array(file).default([]),
  /** Argument lists, run in the image as root in this order, after everything else was laid into it. */
  commands: z
    .array(z.array(z.string().refine((word) => !word.includes("\0"), "must not contain NUL")).min(1))
    .default([]),
  /** PEM text, or the path of a PEM file relative to the recipe. Trusted by the system and by Firefox. */
  caCertificates: z.array(z.string().min(1)).default([]),
  /** In pixels. */
  screen: z
    .strictObject({ width: z.int().min(640).max(3840), height: z.int().min(480).max(2160) })
    .default({ width: 1280, height: 800 }),
  /** Firefox enterprise policies, merged over the built-in ones. */
  firefoxPolicies: z.record(z.string(), z.json()).default({}),
});
export type ImageRecipe = z.infer<typeof imageRecipe>;
