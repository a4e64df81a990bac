import type { z } from "zod";

/** A schema's complaints as `path: what is wrong`, for problem documents and sentences. */
export const formatIssues = (error: z.core.$ZodError): string[] =>
  error.issues.flatMap((issue) => {
    const path = issue.path.join(".");
    if (issue.code === "unrecognized_keys") {
      return issue.keys.map((key) => `${path ? `${path}.` : ""}${key}: not a known field`);
    }
    return [`${path || "(whole)"}: ${issue.message}`];
  });
