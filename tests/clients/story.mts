// The TypeScript client against the running service, and against a fetch that fails as networks do.
import { ApiError, LeadSail, OutcomeUnknown, Unreachable } from "../../clients/typescript/src/index.ts";
import { InvalidSignature, sign, verify } from "../../clients/typescript/src/index.ts";
import assert from "node:assert/strict";

const url = process.env.API_URL ?? "";
const client = new LeadSail(url, process.env.API_KEY ?? "");

// It sends, once for a key, and reads what came of it.
await client.putLead("crm-1", { firstName: "Tess", phone: "(212) 555-0166" });
const forecast = await client.forecast("crm-1", "Hi Tess");
assert.deepEqual([forecast.to, forecast.segments], ["+12125550166", 1]);
const first = await client.send("crm-1", "Hi Tess", {}, "order-1");
assert.deepEqual(await client.send("crm-1", "Hi Tess", {}, "order-1"), first);
const bulk = await client.sendBulk([{ leadId: "crm-1", message: "Two" }, { leadId: "nobody", message: "-" }]);
assert.deepEqual([bulk.accepted, bulk.refused, bulk.results[1]?.error?.code], [1, 1, "NOT_FOUND"]);
const messages: string[] = [];
for await (const entry of client.listTranscript(first.interactionId)) messages.push(entry.message);
assert.deepEqual(messages, ["Hi Tess", "Two"]);

// Lists are read to their end; the feed comes in order.
for (let i = 0; i < 4; i++) await client.addLead({ firstName: `Lead ${i}` });
let leads = 0;
for await (const _ of client.listLeads({ limit: 2 })) leads++;
assert.equal(leads, 6);
const events: string[] = [];
for await (const event of client.followEvents({ types: ["message"] })) {
  events.push(event.type);
  if (events.length === 2) break;
}
assert.deepEqual(events, ["message", "message"]);

// A refusal is an error with its code.
const refusal: unknown = await client.send("nobody", "Hi").catch((error: unknown) => error);
assert.ok(refusal instanceof ApiError && refusal.code === "NOT_FOUND" && refusal.status === 404 && refusal.requestId);

// What is repeated, and what never is.
type Step = [number, string] | "late" | "refused";
function scripted(...steps: Step[]): { client: LeadSail; keys: (string | null)[] } {
  const keys: (string | null)[] = [];
  const script: typeof fetch = async (_, init) => {
    keys.push(new Headers(init?.headers).get("Idempotency-Key"));
    const step = steps.shift();
    if (step === "late") throw new TypeError("fetch failed", { cause: { code: "UND_ERR_SOCKET" } });
    if (step === "refused") throw new TypeError("fetch failed", { cause: { code: "ECONNREFUSED" } });
    const [status, code] = step ?? [202, ""];
    const data = { messageId: "msg_1" };
    const body = code ? { success: false, error: { code, message: "No.", details: [] } } : { success: true, data };
    return Response.json(body, { status });
  };
  return { client: new LeadSail("https://sms.example.com", "key", { fetch: script, firstPauseMs: 1 }), keys };
}

const harmless: Step[] = [[503, "UNAVAILABLE"], [504, "OUTCOME_UNKNOWN"], [500, "INTERNAL_ERROR"], "late", "refused"];
for (const step of harmless) {
  const { client, keys } = scripted(step);
  assert.equal((await client.send("lead-1", "Hi")).messageId, "msg_1");
  assert.equal(keys.length, 2);
  assert.ok(keys[0] && keys[0] === keys[1]);
}
const doubtful: Step[] = [[504, "OUTCOME_UNKNOWN"], [502, ""], "late"];
for (const step of doubtful) {
  const { client, keys } = scripted(step);
  await assert.rejects(client.cancelMessage("msg_1"), OutcomeUnknown);
  assert.deepEqual(keys, [null]);
}
await assert.rejects(scripted(...Array<Step>(5).fill("refused")).client.send("lead-1", "Hi"), Unreachable);
await assert.rejects(scripted("late", ...Array<Step>(4).fill("refused")).client.send("lead-1", "Hi"), OutcomeUnknown);

// The feed goes on where it was, however the service was away.
type Page = string[] | "late" | "refused" | [number, string];
function followed(...pages: Page[]): { client: LeadSail; afters: (string | null)[] } {
  const afters: (string | null)[] = [];
  const script: typeof fetch = async (input) => {
    afters.push(new URL(String(input)).searchParams.get("after"));
    const page = pages.shift() ?? "refused";
    if (page === "late") throw new TypeError("fetch failed", { cause: { code: "UND_ERR_SOCKET" } });
    if (page === "refused") throw new TypeError("fetch failed", { cause: { code: "ECONNREFUSED" } });
    const [status, code] = page;
    if (typeof status === "number") {
      return Response.json({ success: false, error: { code, message: "No.", details: [] } }, { status });
    }
    const events = (page as string[]).map((eventId) => ({ eventId, type: "message", interactionId: null, data: {}, at: "" }));
    return Response.json({ success: true, data: { events, hasMore: false } });
  };
  return { client: new LeadSail("https://sms.example.com", "key", { fetch: script, firstPauseMs: 1 }), afters };
}
async function follow(client: LeadSail, after: string, count: number): Promise<string[]> {
  const seen: string[] = [];
  for await (const event of client.followEvents({ after })) {
    seen.push(event.eventId);
    if (seen.length === count) break;
  }
  return seen;
}

const outage: Page[] = [...Array<Page>(6).fill("refused"), "late", [503, "UNAVAILABLE"], [502, ""]];
const resumed = followed(["1-1", "1-2"], ...outage, [], ["2-3"]);
assert.deepEqual(await follow(resumed.client, "1-0", 3), ["1-1", "1-2", "2-3"]);
assert.deepEqual(resumed.afters, ["1-0", ...Array<string>(outage.length + 2).fill("1-2")]);
const restarted = followed(["2-4"]);
assert.deepEqual(await follow(restarted.client, "2-3", 1), ["2-4"]);
assert.deepEqual(restarted.afters, ["2-3"]);
await assert.rejects(follow(followed([401, "UNAUTHORIZED"]).client, "1-0", 1), ApiError);

// Signatures.
const secret = "whsec_" + Buffer.from("secret of the tests!").toString("base64");
const body = Buffer.from("{}");
const headers = { "webhook-id": "turn_1", "webhook-timestamp": "1000", "webhook-signature": sign(secret, "turn_1", 1000, body) };
verify(secret, headers, body, { now: 1200 });
assert.throws(() => verify(secret, headers, Buffer.from("{} "), { now: 1200 }), InvalidSignature);
assert.throws(() => verify(secret, headers, body, { now: 1301 }), InvalidSignature);
assert.throws(() => verify(secret, { ...headers, "webhook-timestamp": "soon" }, body), InvalidSignature);
console.log("told");
