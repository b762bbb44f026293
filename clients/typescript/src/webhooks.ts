/** Signatures of webhooks, as in Standard Webhooks. */
import { createHmac, timingSafeEqual } from "node:crypto";

import { InvalidSignature } from "./errors.ts";

export type Headers = { [name: string]: string | string[] | undefined };

/**
 * Throws `InvalidSignature` unless one of the secrets (`whsec_…`) signed the body, and lately.
 * `body`: the bytes as they came. Parsed and written anew they are others.
 */
export function verify(
  secrets: string | readonly string[],
  headers: Headers,
  body: Uint8Array,
  { toleranceSeconds = 300, now = Date.now() / 1000 }: { toleranceSeconds?: number; now?: number } = {},
): void {
  const given = new Map(Object.entries(headers).map(([name, value]) => [name.toLowerCase(), String(value ?? "")]));
  const sentAt = given.get("webhook-timestamp") ?? "";
  if (!/^[0-9]{1,12}$/.test(sentAt)) throw new InvalidSignature("the header webhook-timestamp is missing, or no time");
  if (Math.abs(now - Number(sentAt)) > toleranceSeconds) {
    throw new InvalidSignature("the webhook is too old, or this machine's clock is wrong");
  }
  const signatures = (given.get("webhook-signature") ?? "").split(" ").map((one) => Buffer.from(one));
  for (const secret of typeof secrets === "string" ? [secrets] : secrets) {
    const expected = Buffer.from(sign(secret, given.get("webhook-id") ?? "", Number(sentAt), body));
    if (signatures.some((one) => one.length === expected.length && timingSafeEqual(one, expected))) return;
  }
  throw new InvalidSignature("the header webhook-signature does not fit the body and the secret");
}

/** Returns the signature that `verify` expects: for tests of your own endpoint. */
export function sign(secret: string, webhookId: string, sentAt: number, body: Uint8Array): string {
  const key = Buffer.from(secret.replace(/^whsec_/, ""), "base64");
  return `v1,${createHmac("sha256", key).update(`${webhookId}.${sentAt}.`).update(body).digest("base64")}`;
}
