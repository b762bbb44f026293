// An SMS agent. Nothing to install: AGENT_SECRET=whsec_… node agent.ts   (Node 22.18 or newer)
import { createHmac, timingSafeEqual } from "node:crypto";
import { createServer } from "node:http";
import type { IncomingHttpHeaders } from "node:http";

type Turn = {
  message: { combinedText: string; messages: { messageId: string }[] };
  lead: { firstName: string | null };
  questionnaire: { informationToCollect: { key: string }[] };
};
type Answer = {
  reply?: string; handoff?: boolean; reason?: string; status?: string; summary?: string;
  answers?: { key: string; answer: string; messageId?: string }[];
};

const key = Buffer.from((process.env.AGENT_SECRET ?? "").replace("whsec_", ""), "base64");

// Standard Webhooks: signed with our secret, at most five minutes ago.
function isGenuine(headers: IncomingHttpHeaders, body: Buffer): boolean {
  const sentAt = String(headers["webhook-timestamp"]);
  if (!(Math.abs(Date.now() / 1000 - Number(sentAt)) <= 300)) return false;
  const signed = createHmac("sha256", key).update(`${headers["webhook-id"]}.${sentAt}.`).update(body);
  const expected = Buffer.from(`v1,${signed.digest("base64")}`);
  return String(headers["webhook-signature"]).split(" ").map((one) => Buffer.from(one))
    .some((given) => given.length === expected.length && timingSafeEqual(given, expected));
}

// Your agent goes here.
function answer(turn: Turn): Answer {
  const text = turn.message.combinedText;
  if (text.toLowerCase().includes("human"))
    return { reply: "A colleague will write to you.", handoff: true, reason: "asked" };
  if (text.toLowerCase().includes("not interested"))
    return { reply: "Thanks for telling us!", status: "disqualified", summary: text.slice(0, 1000) };
  const [question] = turn.questionnaire.informationToCollect;
  if (question && text.toLowerCase().startsWith("my answer:")) {
    const { messageId } = turn.message.messages[turn.message.messages.length - 1];
    const answer = { key: question.key, answer: text.slice(10).trim() || "none", messageId };
    return { reply: "Noted!", status: "qualified", answers: [answer] };
  }
  return { reply: `Hi ${turn.lead.firstName ?? "there"}, you wrote: ${text}` };
}

createServer(async (request, response) => {
  const body = Buffer.concat(await request.toArray());
  const genuine = isGenuine(request.headers, body);
  response.writeHead(genuine ? 200 : 401, { "content-type": "application/json" });
  response.end(JSON.stringify(genuine ? answer(JSON.parse(body.toString())) : {}));
}).listen(Number(process.env.PORT ?? 9000), "127.0.0.1");
