/**
 * The client. Requests that may be repeated safely are, all others never:
 *
 * - surely not accepted (429, 503 of the service): any request;
 * - perhaps accepted (no answer, another 5xx, 504): a GET, or a request with an Idempotency-Key.
 */
import { ApiError, LeadSailError, OutcomeUnknown, Unreachable } from "./errors.ts";
import type { BulkAccepted, BulkText, Entry, Event, Forecast, Interaction, JsonObject, SendOptions, Sent } from "./shapes.ts";

const MAX_TRIES = 5;
/** A longer Retry-After (the day's limit is spent) is the caller's to wait for. */
const MAX_PAUSE_MS = 30_000;
/** How long the service waits for the next event. */
const POLL_SECONDS = 25;
const NOT_ACCEPTED_CODES = ["RATE_LIMITED", "UNAVAILABLE"];
/** fetch says so when no connection came about. */
const NOT_SENT_CODES = ["ECONNREFUSED", "ENOTFOUND", "EAI_AGAIN", "UND_ERR_CONNECT_TIMEOUT"];

export type ClientOptions = {
  timeoutMs?: number;
  /** Before the first repeat; each later pause is twice as long. */
  firstPauseMs?: number;
  /** A fetch of your own. */
  fetch?: typeof fetch;
};

export type RequestOptions = {
  query?: { [name: string]: unknown };
  json?: unknown;
  /** Only routes that create something know it. */
  idempotencyKey?: string | undefined;
  timeoutMs?: number;
};

export class LeadSail {
  readonly #url: string;
  readonly #key: string;
  readonly #timeoutMs: number;
  readonly #firstPauseMs: number;
  readonly #fetch: typeof fetch;

  constructor(baseUrl: string, apiKey: string, options: ClientOptions = {}) {
    this.#url = `${baseUrl.replace(/\/+$/, "")}/api/v1`;
    this.#key = apiKey;
    this.#timeoutMs = options.timeoutMs ?? 30_000;
    this.#firstPauseMs = options.firstPauseMs ?? 500;
    this.#fetch = options.fetch ?? globalThis.fetch;
  }

  /**
   * Sends a text. A repeat after a lost answer does not send it twice; give an `idempotencyKey` of
   * your own if your process may crash and begin again.
   */
  send(leadId: string, message: string, options: SendOptions = {}, idempotencyKey?: string): Promise<Sent> {
    return this.create<Sent>("/sms/send", { leadId, message, ...options }, idempotencyKey);
  }

  /** A dry run: what `send` would do. Nothing is stored. */
  forecast(leadId: string, message: string, options: SendOptions = {}): Promise<Forecast> {
    return this.create<Forecast>("/sms/send", { leadId, message, ...options, dryRun: true });
  }

  /** Sends up to 1,000 texts. One that is refused stands in `results` with its error. */
  sendBulk(messages: BulkText[], idempotencyKey?: string): Promise<BulkAccepted> {
    return this.create<BulkAccepted>("/sms/send/bulk", { messages }, idempotencyKey);
  }

  getMessage(messageId: string): Promise<JsonObject> {
    return this.request("GET", `/messages/${encodeURIComponent(messageId)}`);
  }

  cancelMessage(messageId: string): Promise<JsonObject> {
    return this.request("POST", `/messages/${encodeURIComponent(messageId)}/cancel`);
  }

  getInteraction(interactionId: string): Promise<Interaction> {
    return this.request<Interaction>("GET", `/interactions/${encodeURIComponent(interactionId)}`);
  }

  /** All interactions, the newest activity first. Filters as in the API: `{ status: ["qualified"] }`. */
  listInteractions(filters: { [name: string]: unknown } = {}): AsyncGenerator<Interaction> {
    return this.listAll<Interaction>("/interactions", "interactions", filters);
  }

  /** All texts of an interaction whose `seq` is above `after`, in their order. */
  async *listTranscript(interactionId: string, after = 0): AsyncGenerator<Entry> {
    const path = `/interactions/${encodeURIComponent(interactionId)}/messages`;
    for (let hasMore = true; hasMore; ) {
      const page = await this.request<{ messages: Entry[]; hasMore: boolean }>("GET", path, {
        query: { after, limit: 100 },
      });
      for (const entry of page.messages) {
        after = entry.seq;
        yield entry;
      }
      hasMore = page.hasMore;
    }
  }

  /** Adds a lead: `firstName`, `lastName`, `phone`, `campaignId` and so on. */
  addLead(fields: JsonObject, idempotencyKey?: string): Promise<JsonObject & { leadId: string }> {
    return this.create("/leads", fields, idempotencyKey);
  }

  getLead(leadId: string): Promise<JsonObject & { leadId: string }> {
    return this.request("GET", `/leads/${encodeURIComponent(leadId)}`);
  }

  listLeads(filters: { [name: string]: unknown } = {}): AsyncGenerator<JsonObject> {
    return this.listAll("/leads", "leads", filters);
  }

  /** Adds a lead by an id of your own system, or replaces it. */
  putLead(leadId: string, fields: JsonObject): Promise<JsonObject & { leadId: string }> {
    return this.request("PUT", `/leads/${encodeURIComponent(leadId)}`, { json: fields });
  }

  /**
   * Everything that happens, in order and without an end. Begins after the event `after`, else with
   * the oldest that is stored. It goes on by itself when the service was away. Store `eventId` once
   * an event is done with, and give it as `after` when your process begins again.
   */
  async *followEvents({ after, types }: { after?: string; types?: Event["type"][] } = {}): AsyncGenerator<Event> {
    let pauseMs = this.#firstPauseMs;
    while (true) {
      let events: Event[];
      try {
        ({ events } = await this.request<{ events: Event[] }>("GET", "/events", {
          query: { after, types, limit: 100, wait: POLL_SECONDS },
          timeoutMs: this.#timeoutMs + POLL_SECONDS * 1000,
        }));
      } catch (error) {
        const isFinal = error instanceof ApiError && error.status < 500 && error.code !== "RATE_LIMITED";
        if (isFinal || !(error instanceof LeadSailError)) throw error;
        await sleep(pauseMs);
        pauseMs = Math.min(pauseMs * 2, MAX_PAUSE_MS);
        continue;
      }
      pauseMs = this.#firstPauseMs;
      for (const event of events) {
        after = event.eventId;
        yield event;
      }
    }
  }

  /** All items of a list, page after page. `items`: the field that holds them. */
  async *listAll<T = JsonObject>(
    path: string, items: string, filters: { [name: string]: unknown } = {},
  ): AsyncGenerator<T> {
    let cursor: unknown;
    do {
      const page = await this.request<JsonObject>("GET", path, { query: { limit: 100, ...filters, cursor } });
      yield* page[items] as T[];
      cursor = page.nextCursor;
    } while (cursor);
  }

  /** A POST that creates something: it gets an Idempotency-Key, so it may be repeated. */
  create<T = JsonObject>(path: string, json: unknown, idempotencyKey?: string): Promise<T> {
    return this.request<T>("POST", path, { json, idempotencyKey: idempotencyKey ?? crypto.randomUUID() });
  }

  /**
   * Any request under /api/v1; returns the answer's `data`. Throws `ApiError`, `OutcomeUnknown`,
   * `Unreachable`.
   */
  async request<T = JsonObject>(method: string, path: string, options: RequestOptions = {}): Promise<T> {
    const mayRepeat = method === "GET" || options.idempotencyKey !== undefined;
    let doubt: OutcomeUnknown | undefined;
    for (let tries = 1; ; tries++) {
      let pauseMs = Math.min(this.#firstPauseMs * 2 ** (tries - 1), MAX_PAUSE_MS) * (0.5 + Math.random() / 2);
      const answer = await this.#ask(method, path, options);
      if (answer instanceof Response && answer.ok) return ((await answer.json()) as { data: T }).data;
      let failure: LeadSailError;
      if (answer instanceof Response) {
        failure = await readFailure(answer, options.idempotencyKey);
        pauseMs = Math.max(pauseMs, getRetryAfter(answer) * 1000);
      } else {
        failure = answer;
      }
      if (failure instanceof OutcomeUnknown) doubt = failure;
      const mayTryAgain = isRepeatable(failure, mayRepeat);
      if (tries === MAX_TRIES || pauseMs > MAX_PAUSE_MS || !mayTryAgain) {
        // That the last try was not accepted says nothing about one before it.
        throw doubt && mayTryAgain ? doubt : failure;
      }
      await sleep(pauseMs);
    }
  }

  async #ask(method: string, path: string, options: RequestOptions): Promise<Response | LeadSailError> {
    const headers: { [name: string]: string } = { "X-API-Key": this.#key };
    if (options.json !== undefined) headers["Content-Type"] = "application/json";
    if (options.idempotencyKey !== undefined) headers["Idempotency-Key"] = options.idempotencyKey;
    const init: RequestInit = {
      method,
      headers,
      signal: AbortSignal.timeout(options.timeoutMs ?? this.#timeoutMs),
      ...(options.json === undefined ? {} : { body: JSON.stringify(options.json) }),
    };
    try {
      const response = await this.#fetch(`${this.#url}${path}${buildQuery(options.query ?? {})}`, init);
      const content = await response.arrayBuffer(); // a body that breaks off is a lost answer, too
      return new Response(content.byteLength ? content : null, response);
    } catch (error) {
      const cause = error instanceof Error ? (error.cause as { code?: string } | undefined) : undefined;
      if (cause?.code && NOT_SENT_CODES.includes(cause.code)) return new Unreachable(cause.code);
      return new OutcomeUnknown(`the answer was lost: ${String(error)}`, options.idempotencyKey);
    }
  }
}

function isRepeatable(failure: LeadSailError, mayRepeat: boolean): boolean {
  if (failure instanceof OutcomeUnknown) return mayRepeat;
  if (!(failure instanceof ApiError)) return true;
  return NOT_ACCEPTED_CODES.includes(failure.code) || (failure.code === "IDEMPOTENCY_IN_PROGRESS" && mayRepeat);
}

/** Seconds; 0 where nothing is said, or a date, as something between us and the service may do. */
function getRetryAfter(response: Response): number {
  const value = response.headers.get("Retry-After") ?? "";
  return /^[0-9]+$/.test(value) ? Number(value) : 0;
}

/** A 5xx that does not say that nothing was accepted leaves the outcome unknown. */
async function readFailure(response: Response, idempotencyKey?: string): Promise<LeadSailError> {
  let [code, message, details] = [`HTTP_${response.status}`, response.statusText, [] as string[]];
  try {
    ({ code, message, details } = ((await response.json()) as { error: { code: string; message: string; details: string[] } }).error);
  } catch {
    // It is from something between us and the service.
  }
  if (response.status >= 500 && code !== "UNAVAILABLE" && code !== "PROVIDER_ERROR") {
    return new OutcomeUnknown(`${code}: ${message}`, idempotencyKey);
  }
  return new ApiError(response.status, code, message, details, response.headers.get("X-Request-Id") ?? undefined);
}

function buildQuery(query: { [name: string]: unknown }): string {
  const parameters = new URLSearchParams();
  for (const [name, value] of Object.entries(query)) {
    for (const item of Array.isArray(value) ? value : [value]) {
      if (item !== undefined && item !== null) parameters.append(name, item instanceof Date ? item.toISOString() : String(item));
    }
  }
  return parameters.size ? `?${parameters}` : "";
}

function sleep(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}
