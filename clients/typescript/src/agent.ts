/**
 * An agent: a function that answers turns, as a listener of Node's http server.
 *
 *     const agent = new Agent(process.env.AGENT_SECRET!);
 *     agent.turn((turn) => `You wrote: ${turn.text}`);
 *     createServer(agent.listener).listen(9000);
 */
import type { IncomingMessage, ServerResponse } from "node:http";

import { InvalidSignature } from "./errors.ts";
import type { Entry, JsonObject } from "./shapes.ts";
import { verify } from "./webhooks.ts";
import type { Headers } from "./webhooks.ts";

const MAX_BODY_BYTES = 16 * 1024 * 1024;

/** What the service sends, as far as an agent usually needs it. */
export type TurnPayload = {
  message: {
    combinedText: string;
    messageCount: number;
    senderPhone: string;
    inboundPhone: string;
    messages: { messageId: string; seq: number; text: string; receivedAt: string; media: JsonObject[] }[];
  };
  lead: {
    leadId: string;
    firstName: string | null;
    lastName: string | null;
    email: string | null;
    phone: string | null;
    status: string;
    tags: string[];
    customFields: Record<string, string | number | boolean>;
  };
  campaign: { campaignId: string | null; name: string | null; clientName: string | null; offerName: string | null };
  interaction: { interactionId: string; status: string; transcript: Entry[] };
  questionnaire: {
    knownInformation: { key: string; question: string; answer: string }[];
    informationToCollect: { key: string; question: string }[];
  };
  turn: { turnId: string; attempt: number; throughSeq: number; expiresAt: string };
  tenantId: string;
  agentId: string;
  timestamp: string;
};

/** What a lead wrote within one window. */
export type Turn = TurnPayload & {
  turnId: string;
  /** All texts of the turn, one per line. */
  text: string;
  /** `replay`, `shadow` or `test`: the answer is only recorded. undefined: the lead gets it. */
  kind: string | undefined;
};

/** A person takes over, after these texts. */
export type HandOff = { type: "handOff"; reason?: string; texts?: string[] };

/** What the conversation came to, beside these texts. `answers`: the lead's, by the question's key. */
export type Outcome = {
  type: "outcome";
  status?: string;
  summary?: string;
  answers?: { [key: string]: string };
  leadStatus?: string;
  note?: string;
  texts?: string[];
};

/**
 * One text; several (an empty list: no answer is wanted); a hand-off; an outcome. undefined: the
 * answer comes later, by `LeadSail.send` with `turnId`.
 */
export type Answer = string | string[] | HandOff | Outcome | undefined;

export function handOff(reason?: string, texts: string[] = []): HandOff {
  return { type: "handOff", texts, ...(reason === undefined ? {} : { reason }) };
}

export function outcome(fields: Omit<Outcome, "type">): Outcome {
  return { type: "outcome", ...fields };
}

export class Agent {
  readonly #secrets: string[];
  #answering: ((turn: Turn) => Answer | Promise<Answer>) | undefined;

  /** Two secrets are needed only while one replaces the other. */
  constructor(...secrets: string[]) {
    if (secrets.length === 0 || secrets.some((secret) => !secret)) throw new Error("the agent needs its signing secret");
    this.#secrets = secrets;
  }

  /**
   * Sets the function that answers. It may be called again for the same turn: the service repeats
   * what it got no 2xx for.
   */
  turn(answering: (turn: Turn) => Answer | Promise<Answer>): void {
    this.#answering = answering;
  }

  /** Returns status and JSON for a request, whatever carries it. */
  async answer(headers: Headers, body: Uint8Array): Promise<[number, JsonObject]> {
    try {
      verify(this.#secrets, headers, body);
    } catch (error) {
      if (error instanceof InvalidSignature) return [401, { error: error.message }];
      throw error;
    }
    if (!this.#answering) throw new Error("no function was given to agent.turn");
    const payload = JSON.parse(Buffer.from(body).toString("utf8")) as TurnPayload;
    const kind = Object.entries(headers).find(([name]) => name.toLowerCase() === "webhook-kind")?.[1];
    const turn: Turn = {
      ...payload,
      turnId: payload.turn.turnId,
      text: payload.message.combinedText,
      kind: kind === undefined ? undefined : String(kind),
    };
    return [200, renderAnswer(await this.#answering(turn))];
  }

  /** For `createServer`. */
  readonly listener = (request: IncomingMessage, response: ServerResponse): void => {
    void this.#respond(request, response);
  };

  async #respond(request: IncomingMessage, response: ServerResponse): Promise<void> {
    let [status, content]: [number, JsonObject] = [500, { error: "the agent failed" }];
    try {
      const body = await readBody(request);
      if (request.method !== "POST") [status, content] = [405, { error: "POST" }];
      else if (body === undefined) [status, content] = [413, { error: "too large" }];
      else [status, content] = await this.answer(request.headers, body);
    } catch (error) {
      console.error("a turn could not be answered; the service hands it over again", error);
    }
    response.writeHead(status, { "content-type": "application/json" });
    response.end(JSON.stringify(content));
  }
}

/** Returns the JSON that the service reads. */
export function renderAnswer(answer: Answer): JsonObject {
  if (answer === undefined) return {};
  if (typeof answer === "string") return { reply: answer };
  if (Array.isArray(answer)) return { replies: answer };
  const { texts, type, ...fields } = answer;
  const replies = texts?.length ? { replies: texts } : {};
  if (type === "handOff") return { ...replies, ...fields, handoff: true };
  const { answers, ...rest } = fields as Omit<Outcome, "type" | "texts">;
  const listed = Object.entries(answers ?? {}).map(([key, words]) => ({ key, answer: words }));
  return { ...replies, ...rest, ...(listed.length ? { answers: listed } : {}) };
}

async function readBody(request: IncomingMessage): Promise<Uint8Array | undefined> {
  const parts: Buffer[] = [];
  let size = 0;
  for await (const part of request as AsyncIterable<Buffer>) {
    size += part.length;
    if (size <= MAX_BODY_BYTES) parts.push(part);
  }
  return size > MAX_BODY_BYTES ? undefined : Buffer.concat(parts);
}
