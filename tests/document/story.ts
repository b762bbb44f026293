// The types that openapi-typescript makes of the document, at work: a lead, a text, its thread, an error.
import type { operations } from "./openapi.js";

declare const process: { env: Record<string, string>; exitCode?: number };

type Json<T> = T extends { content: { "application/json": infer Content } } ? Content : never;
type Responses<Id extends keyof operations> = operations[Id]["responses"];
type Success<Id extends keyof operations> = Json<Responses<Id>[keyof Responses<Id> & (200 | 201 | 202)]>;
type Body<Id extends keyof operations> = operations[Id] extends { requestBody: infer Given } ? Json<Given> : undefined;
type Refusal = Json<operations["getInteraction"]["responses"][404]>;

async function ask<Id extends keyof operations>(method: string, path: string, body?: Body<Id>): Promise<Success<Id>> {
  const response = await fetch(`${process.env.API_URL}/api/v1${path}`, {
    method,
    headers: { "X-API-Key": process.env.API_KEY ?? "", "Content-Type": "application/json" },
    ...(body === undefined ? {} : { body: JSON.stringify(body) }),
  });
  if (!response.ok) throw (await response.json()) as Refusal;
  return (await response.json()) as Success<Id>;
}

function expect(isTrue: boolean, words: string): void {
  if (!isTrue) throw new Error(`expected: ${words}`);
}

const lead = await ask<"addLead">("POST", "/leads", { firstName: "Tess", phone: process.env.PHONE });
const text = { leadId: lead.data.leadId, message: "Hi Tess" };

const forecast = await ask<"sendText">("POST", "/sms/send", { ...text, dryRun: true });
expect("earliestAt" in forecast.data && forecast.data.segments === 1, "a dry run counts the segments");

const sent = await ask<"sendText">("POST", "/sms/send", text);
if (!("messageId" in sent.data)) throw new Error("expected: an accepted text");

const thread = await ask<"getInteraction">("GET", `/interactions/${sent.data.interactionId}`);
expect(thread.data.transcript.some((entry) => entry.message === "Hi Tess"), "the text stands in the transcript");
expect(thread.data.leadId === lead.data.leadId, "the thread is the lead's");

const refusal = await ask<"getInteraction">("GET", "/interactions/int_nobody").then(
  () => undefined,
  (error: Refusal) => error,
);
expect(refusal?.success === false && refusal.error.code === "NOT_FOUND", "an unknown thread is a refusal");
console.log(sent.data.messageId);
